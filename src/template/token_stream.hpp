#pragma once
// What the two halves of the parser stand on: the tokens, the names, and how deep it is.

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "template/lexer.hpp"
#include "template/syntax.hpp"

namespace troupe::jinja {

/// Most that brackets, blocks and operators may nest in one template: real ones stay below 40.
inline constexpr std::uint32_t parse_depth_max = 200;

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token take() {
    Token token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }

  bool sees(std::string_view sign) const { return current().is_sign(sign); }
  bool sees_name(std::string_view name) const { return current().is_name(name); }
  bool skip(std::string_view sign);
  bool skip_name(std::string_view name);
  void expect(std::string_view sign);
  void expect_name(std::string_view name);
  void expect(Token::Kind kind, const char* what);
  std::string take_name();  ///< any name

  Symbol symbol(const std::string& name);
  std::vector<std::string> take_names() { return std::move(names_); }

  [[noreturn]] void unexpected(const std::string& wanted) const;

  /// One level of nesting.
  class Level {
   public:
    explicit Level(TokenStream& tokens);
    ~Level() { --tokens_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    TokenStream& tokens_;
  };

  /// `node` at its line, one deeper than the deepest of `children`; some may be null.
  template <class T>
  std::unique_ptr<T> grown(std::unique_ptr<T> node, std::uint32_t line,
                           std::initializer_list<const Expression*> children) const {
    node->line = line;
    for (const Expression* child : children) {
      if (child != nullptr) node->depth = std::max(node->depth, child->depth + 1);
    }
    if (node->depth > expression_depth_max) too_deep(line);
    return node;
  }

 private:
  // A sum or a chain of filters is a tree as deep as it is long, and is destroyed by recursion.
  static constexpr std::uint32_t expression_depth_max = 400;

  [[noreturn]] static void too_deep(std::uint32_t line);

  std::vector<Token> tokens_;  // the last is the end
  std::size_t at_ = 0;
  std::uint32_t depth_ = 0;
  std::unordered_map<std::string, Symbol> symbols_;
  std::vector<std::string> names_;
};

}  // namespace troupe::jinja
