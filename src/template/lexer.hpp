#pragma once
// A template as tokens. White space follows Jinja2 with trim_blocks and lstrip_blocks, which is how Hugging
// Face renders chat templates: a newline behind a block tag goes, as do the blanks of a line in front of one;
// "-" in a tag takes all white space on its side, "+" keeps it; one newline at the very end goes.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::jinja {

struct Token {
  enum class Kind : std::uint8_t {
    data,  ///< text between tags
    variable_begin,
    variable_end,
    block_begin,
    block_end,
    name,
    string,  ///< its escapes resolved
    integer,
    floating,
    sign,  ///< an operator or a bracket, as `text`
    end,
  };
  Kind kind = Kind::end;
  std::uint32_t line = 1;
  std::string text;
  std::int64_t integer = 0;
  double floating = 0;

  bool is_sign(std::string_view which) const { return kind == Kind::sign && text == which; }
  bool is_name(std::string_view which) const { return kind == Kind::name && text == which; }
};

/// All tokens of `source`, the last of kind end. Throws Failure. Linear.
std::vector<Token> tokenize(std::string_view source);

}  // namespace troupe::jinja
