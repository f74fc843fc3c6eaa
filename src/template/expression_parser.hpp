#pragma once

#include "template/token_stream.hpp"

namespace troupe::jinja {

/// Parses expressions. From the weakest binding: if else, or, and, not, comparisons and in, + -, ~, * / // %,
/// **, signs, then attributes, items and calls, then filters and tests.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  ExpressionPtr expression();
  /// Without a trailing if, which belongs to what is around: {% for … in x if y %}.
  ExpressionPtr without_condition();
  /// An expression, or several with commas between: a tuple.
  ExpressionPtr tuple(bool with_condition);
  /// `| name(…)` once, or more often.
  std::vector<std::unique_ptr<const Filter>> filter_chain();
  /// name, name(…), without the bar.
  std::unique_ptr<Filter> filter(ExpressionPtr input);

  /// The special names of macros that were met since it was last reset.
  struct Mentions {
    bool caller = false, varargs = false, kwargs = false;
  };
  Mentions mentions;

 private:
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr primary();
  ExpressionPtr name_or_constant();
  ExpressionPtr constant(Value value, std::uint32_t line);
  ExpressionPtr list_display();
  ExpressionPtr dict_display();
  ExpressionPtr postfix(ExpressionPtr object);
  ExpressionPtr filters_and_tests(ExpressionPtr input);
  ExpressionPtr subscript(ExpressionPtr object);
  ExpressionPtr slice(ExpressionPtr object, ExpressionPtr begin, std::uint32_t line);
  ExpressionPtr call(ExpressionPtr callee);
  ExpressionPtr test(ExpressionPtr input);
  bool ends_tuple() const;
  std::string dotted_name();
  ArgumentList arguments(std::uint32_t& depth);

  TokenStream& tokens_;
};

}  // namespace troupe::jinja
