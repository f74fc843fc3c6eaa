// What stands behind a value: attributes, items, calls, filters and tests.

#include <algorithm>

#include "template/expression_parser.hpp"

namespace troupe::jinja {

ExpressionPtr ExpressionParser::postfix(ExpressionPtr object) {
  while (true) {
    if (tokens_.sees(".") || tokens_.sees("[")) {
      object = subscript(std::move(object));
    } else if (tokens_.sees("(")) {
      object = call(std::move(object));
    } else {
      return object;
    }
  }
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr input) {
  while (true) {
    if (tokens_.skip("|")) {
      input = filter(std::move(input));
    } else if (tokens_.sees_name("is")) {
      input = test(std::move(input));
    } else if (tokens_.sees("(")) {
      input = call(std::move(input));
    } else {
      return input;
    }
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr object) {
  const std::uint32_t line = tokens_.current().line;
  if (tokens_.skip(".")) {
    if (tokens_.current().kind == Token::Kind::integer) {
      auto node = std::make_unique<Item>();
      node->object = std::move(object);
      node->key = constant(tokens_.take().integer, line);
      const Item& n = *node;
      return tokens_.grown(std::move(node), line, {n.object.get(), n.key.get()});
    }
    auto node = std::make_unique<Attribute>();
    node->object = std::move(object);
    node->name = tokens_.take_name();
    const Expression* child = node->object.get();
    return tokens_.grown(std::move(node), line, {child});
  }
  tokens_.expect("[");
  if (tokens_.sees(":")) return slice(std::move(object), nullptr, line);
  ExpressionPtr key = tuple(true);
  if (tokens_.sees(":")) return slice(std::move(object), std::move(key), line);
  tokens_.expect("]");
  auto node = std::make_unique<Item>();
  node->object = std::move(object);
  node->key = std::move(key);
  const Item& n = *node;
  return tokens_.grown(std::move(node), line, {n.object.get(), n.key.get()});
}

ExpressionPtr ExpressionParser::slice(ExpressionPtr object, ExpressionPtr begin, std::uint32_t line) {
  auto node = std::make_unique<Slice>();
  node->object = std::move(object);
  node->begin = std::move(begin);
  tokens_.expect(":");
  if (!tokens_.sees(":") && !tokens_.sees("]")) node->end = expression();
  if (tokens_.skip(":") && !tokens_.sees("]")) node->step = expression();
  tokens_.expect("]");
  const Slice& n = *node;
  return tokens_.grown(std::move(node), line, {n.object.get(), n.begin.get(), n.end.get(), n.step.get()});
}

ArgumentList ExpressionParser::arguments(std::uint32_t& depth) {
  ArgumentList list;
  const auto argument = [&] {
    ExpressionPtr value = expression();
    depth = std::max(depth, value->depth + 1);
    return value;
  };
  tokens_.expect("(");
  bool is_first = true;
  while (!tokens_.sees(")")) {
    if (!is_first) {
      tokens_.expect(",");
      if (tokens_.sees(")")) break;
    }
    is_first = false;
    if (list.more_named != nullptr) tokens_.unexpected("')' behind a '**' argument");
    if (tokens_.skip("**")) {
      list.more_named = argument();
    } else if (tokens_.sees("*") && list.more == nullptr) {
      tokens_.take();
      list.more = argument();
    } else if (tokens_.current().kind == Token::Kind::name && tokens_.next().is_sign("=")) {
      std::string name = tokens_.take().text;
      tokens_.take();
      list.named.emplace_back(std::move(name), argument());
    } else {
      if (list.more != nullptr || !list.named.empty()) {
        tokens_.unexpected("an argument with a name behind those with one");
      }
      list.positional.push_back(argument());
    }
  }
  tokens_.expect(")");
  return list;
}

ExpressionPtr ExpressionParser::call(ExpressionPtr callee) {
  auto node = std::make_unique<CallExpression>();
  const std::uint32_t line = tokens_.current().line;
  node->callee = std::move(callee);
  node->arguments = arguments(node->depth);
  const Expression* child = node->callee.get();
  return tokens_.grown(std::move(node), line, {child});
}

std::string ExpressionParser::dotted_name() {
  std::string name = tokens_.take_name();
  while (tokens_.skip(".")) name.append(1, '.').append(tokens_.take_name());
  return name;
}

std::unique_ptr<Filter> ExpressionParser::filter(ExpressionPtr input) {
  auto node = std::make_unique<Filter>();
  const std::uint32_t line = tokens_.current().line;
  node->input = std::move(input);
  node->name = dotted_name();
  node->builtin = find_filter(node->name);
  if (tokens_.sees("(")) node->arguments = arguments(node->depth);
  const Expression* child = node->input.get();
  return tokens_.grown(std::move(node), line, {child});
}

std::vector<std::unique_ptr<const Filter>> ExpressionParser::filter_chain() {
  std::vector<std::unique_ptr<const Filter>> filters;
  while (tokens_.skip("|")) filters.push_back(filter(nullptr));
  return filters;
}

ExpressionPtr ExpressionParser::test(ExpressionPtr input) {
  const std::uint32_t line = tokens_.take().line;
  const bool is_negated = tokens_.skip_name("not");
  auto node = std::make_unique<Test>();
  node->input = std::move(input);
  node->name = dotted_name();
  node->builtin = find_test(node->name);
  const Token& token = tokens_.current();
  const bool begins_value = token.kind == Token::Kind::string || token.kind == Token::Kind::integer ||
                            token.kind == Token::Kind::floating || token.is_sign("[") || token.is_sign("{") ||
                            (token.kind == Token::Kind::name && !token.is_name("else") &&
                             !token.is_name("or") && !token.is_name("and") && !token.is_name("if") &&
                             !token.is_name("is") && !token.is_name("not") && !token.is_name("in"));
  if (token.is_sign("(")) {
    node->arguments = arguments(node->depth);
  } else if (begins_value) {  // x is divisibleby 3
    const TokenStream::Level level(tokens_);
    ExpressionPtr argument = postfix(primary());
    node->depth = argument->depth + 1;
    node->arguments.positional.push_back(std::move(argument));
  }
  const Expression* child = node->input.get();
  std::unique_ptr<Test> grown = tokens_.grown(std::move(node), line, {child});
  if (!is_negated) return grown;
  auto negation_node = std::make_unique<Not>();
  negation_node->operand = std::move(grown);
  const Expression* operand = negation_node->operand.get();
  return tokens_.grown(std::move(negation_node), line, {operand});
}

}  // namespace troupe::jinja
