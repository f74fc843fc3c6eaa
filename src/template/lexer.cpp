#include "template/lexer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "base/utf8.hpp"
#include "template/budget.hpp"
#include "template/string_literal.hpp"
#include "template/unicode.hpp"

namespace troupe::jinja {
namespace {

/// "\r\n" and "\r" as "\n", and without the last one.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_name_begin(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool is_decimal(char c) {
  return c >= '0' && c <= '9';
}

bool is_name_part(char c) {
  return is_name_begin(c) || is_decimal(c);
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) data();
    emit(Token::Kind::end, {});
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return source_.substr(at_); }
  bool sees(std::string_view text) const { return rest().starts_with(text); }

  void advance(std::size_t bytes) {
    const std::string_view passed = source_.substr(at_, bytes);
    line_ += static_cast<std::uint32_t>(std::count(passed.begin(), passed.end(), '\n'));
    at_ += bytes;
  }
  void skip_space() { advance(leading_space_bytes(rest())); }

  void emit(Token::Kind kind, std::string text) {
    Token token;
    token.kind = kind;
    token.line = line_;
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
  }

  /// The text up to the next tag, and that tag.
  void data() {
    std::size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string_view::npos || tag + 1 == source_.size())
        return emit_data(source_.size(), '+', false);
      const char second = source_[tag + 1];
      if (second == '{' || second == '%' || second == '#') break;
      ++tag;
    }
    const char kind = source_[tag + 1];
    const char third = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    const bool has_sign = third == '-' || third == '+';
    emit_data(tag, has_sign ? third : ' ', kind != '{');
    advance(has_sign ? 3 : 2);
    if (kind == '#') return comment();
    if (kind == '%') {
      if (raw()) return;
      emit(Token::Kind::block_begin, {});
    } else {
      emit(Token::Kind::variable_begin, {});
    }
    tag_inside(kind);
  }

  /// The text before `end`, with what the sign of the tag there takes from it.
  void emit_data(std::size_t end, char sign, bool strips_blanks) {
    std::string_view text = source_.substr(at_, end - at_);
    if (sign == '-') {
      text.remove_suffix(trailing_space_bytes(text));
    } else if (sign != '+' && strips_blanks) {
      const std::size_t newline = text.rfind('\n');
      const std::size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      const std::string_view blanks = text.substr(line_begin);
      if ((line_begin > 0 || line_starts_) && leading_space_bytes(blanks) == blanks.size()) {
        text = text.substr(0, line_begin);
      }
    }
    if (!text.empty()) emit(Token::Kind::data, std::string(text));
    advance(end - at_);
  }

  void comment() {
    const std::uint32_t begin_line = line_;
    const std::size_t close = source_.find("#}", at_);
    if (close == std::string_view::npos) fail_at(begin_line, "a comment is not closed with #}");
    const char sign = close > at_ ? source_[close - 1] : ' ';
    advance(close - at_);
    end_tag(2, sign, true);
  }

  /// Passes the end of a tag, and the white space that goes with it.
  void end_tag(std::size_t bytes, char sign, bool trims_newline) {
    const std::size_t begin = at_;
    advance(bytes);
    if (sign == '-') {
      skip_space();
    } else if (sign != '+' && trims_newline && sees("\n")) {
      advance(1);
    }
    line_starts_ = at_ > begin && source_[at_ - 1] == '\n';
  }

  /// {% raw %} … {% endraw %}, behind the first "{%".
  bool raw() {
    std::size_t at = at_ + leading_space_bytes(rest());
    if (source_.substr(at, 3) != "raw") return false;
    at += 3;
    at += leading_space_bytes(source_.substr(at));
    const bool strips = source_.substr(at, 3) == "-%}";
    if (!strips && source_.substr(at, 2) != "%}") return false;
    const std::uint32_t begin_line = line_;
    advance(at - at_);
    end_tag(strips ? 3 : 2, strips ? '-' : ' ', false);  // the newline behind {% raw %} stays
    for (std::size_t open = source_.find("{%", at_); open != std::string_view::npos;
         open = source_.find("{%", open + 1)) {
      std::size_t inside = open + 2;
      const char sign = inside < source_.size() ? source_[inside] : ' ';
      if (sign == '-' || sign == '+') ++inside;
      inside += leading_space_bytes(source_.substr(inside));
      if (source_.substr(inside, 6) != "endraw") continue;
      inside += 6;
      inside += leading_space_bytes(source_.substr(inside));
      const char end_sign = inside < source_.size() ? source_[inside] : ' ';
      const bool has_sign = end_sign == '-' || end_sign == '+';
      if (source_.substr(inside + (has_sign ? 1 : 0), 2) != "%}") continue;
      emit_data(open, sign, true);
      advance(inside - at_);
      end_tag(has_sign ? 3 : 2, end_sign, true);
      return true;
    }
    fail_at(begin_line, "{% raw %} is not closed with {% endraw %}");
  }

  /// What is inside a tag, and its end.
  void tag_inside(char kind) {
    const std::string_view close = kind == '%' ? "%}" : "}}";
    const std::uint32_t begin_line = line_;
    std::string open_brackets;
    while (true) {
      skip_space();
      if (at_ == source_.size()) {
        fail_at(begin_line, std::string("a tag is not closed with ") + std::string(close));
      }
      if (open_brackets.empty()) {
        const char sign = rest().front();
        const bool has_sign = sign == '-' || (sign == '+' && kind == '%');
        if (rest().substr(has_sign ? 1 : 0, 2) == close) {
          emit(kind == '%' ? Token::Kind::block_end : Token::Kind::variable_end, {});
          return end_tag(has_sign ? 3 : 2, has_sign ? sign : ' ', kind == '%');
        }
      }
      token(open_brackets);
    }
  }

  void token(std::string& open_brackets) {
    const char c = rest().front();
    if (is_decimal(c)) return number();
    if (is_name_begin(c)) {
      std::size_t bytes = 1;
      while (bytes < rest().size() && is_name_part(rest()[bytes])) ++bytes;
      emit(Token::Kind::name, std::string(rest().substr(0, bytes)));
      return advance(bytes);
    }
    if (c == '\'' || c == '"') {
      const StringLiteral literal = read_string_literal(rest(), line_);
      emit(Token::Kind::string, literal.text);
      return advance(literal.bytes);
    }
    sign(open_brackets);
  }

  void sign(std::string& open_brackets) {
    static constexpr std::array<std::string_view, 25> signs = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ","};
    const auto found = std::find_if(signs.begin(), signs.end(), [&](auto sign) { return sees(sign); });
    if (found == signs.end()) {
      fail_at(line_, "unexpected character " + in_quotes(rest().substr(0, utf8_step(rest()).bytes)));
    }
    const char c = found->front();
    if (c == '(' || c == '[' || c == '{') {
      open_brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (open_brackets.empty() || open_brackets.back() != c) {
        fail_at(line_,
                std::string("unexpected '") + c + "'" +
                    (open_brackets.empty() ? "" : std::string("; expected '") + open_brackets.back() + "'"));
      }
      open_brackets.pop_back();
    }
    emit(Token::Kind::sign, std::string(*found));
    advance(found->size());
  }

  /// The digits at `at`, with underscores between them, put behind `digits`; where they end.
  std::size_t take_digits(std::size_t at, std::string& digits) const {
    while (at < source_.size() &&
           (is_decimal(source_[at]) ||
            (source_[at] == '_' && at + 1 < source_.size() && is_decimal(source_[at + 1])))) {
      if (source_[at] != '_') digits += source_[at];
      ++at;
    }
    return at;
  }

  void number() {
    std::string digits;
    std::size_t end = take_digits(at_, digits);
    bool is_integer = true;
    const auto decimal_at = [&](std::size_t at) { return at < source_.size() && is_decimal(source_[at]); };
    // Behind a dot it is an index: in a.0.1 there is no 0.1.
    const bool is_index = at_ > 0 && source_[at_ - 1] == '.';
    if (!is_index && end < source_.size() && source_[end] == '.' && decimal_at(end + 1)) {
      digits += '.';
      end = take_digits(end + 1, digits);
      is_integer = false;
    }
    if (!is_index && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const bool has_sign = end + 1 < source_.size() && (source_[end + 1] == '-' || source_[end + 1] == '+');
      if (decimal_at(end + (has_sign ? 2 : 1))) {
        digits += 'e';
        if (has_sign) digits += source_[end + 1];
        end = take_digits(end + (has_sign ? 2 : 1), digits);
        is_integer = false;
      }
    }
    emit(is_integer ? Token::Kind::integer : Token::Kind::floating, {});
    Token& token = tokens_.back();
    const char* first = digits.data();
    const char* last = first + digits.size();
    if (!is_integer) {
      token.floating = std::strtod(digits.c_str(), nullptr);  // what is too large is infinite, as in Python
    } else if (std::from_chars(first, last, token.integer).ec != std::errc()) {
      fail_at(line_, "the number " + in_quotes(digits, 40) + " does not fit 64 bits");
    }
    advance(end - at_);
  }

  std::string_view source_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
  bool line_starts_ = true;  // what was read last ended in a newline
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  const std::string text = normalized(source);
  return Lexer(text).run();
}

}  // namespace troupe::jinja
