#include "template/expression_parser.hpp"

#include <algorithm>
#include <array>

#include "base/utf8.hpp"

namespace troupe::jinja {

ExpressionPtr ExpressionParser::expression() {
  const TokenStream::Level level(tokens_);
  ExpressionPtr value = without_condition();
  while (tokens_.sees_name("if")) {
    const std::uint32_t line = tokens_.take().line;
    auto node = std::make_unique<Conditional>();
    node->then = std::move(value);
    node->condition = without_condition();
    if (tokens_.skip_name("else")) node->otherwise = expression();
    const Conditional& n = *node;
    value = tokens_.grown(std::move(node), line, {n.then.get(), n.condition.get(), n.otherwise.get()});
  }
  return value;
}

ExpressionPtr ExpressionParser::without_condition() {
  ExpressionPtr left = conjunction();
  while (tokens_.sees_name("or")) {
    const std::uint32_t line = tokens_.take().line;
    auto node = std::make_unique<Junction>();
    node->left = std::move(left);
    node->right = conjunction();
    const Junction& n = *node;
    left = tokens_.grown(std::move(node), line, {n.left.get(), n.right.get()});
  }
  return left;
}

ExpressionPtr ExpressionParser::conjunction() {
  ExpressionPtr left = negation();
  while (tokens_.sees_name("and")) {
    const std::uint32_t line = tokens_.take().line;
    auto node = std::make_unique<Junction>();
    node->is_and = true;
    node->left = std::move(left);
    node->right = negation();
    const Junction& n = *node;
    left = tokens_.grown(std::move(node), line, {n.left.get(), n.right.get()});
  }
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  if (!tokens_.sees_name("not")) return comparison();
  const TokenStream::Level level(tokens_);
  const std::uint32_t line = tokens_.take().line;
  auto node = std::make_unique<Not>();
  node->operand = negation();
  const Expression* operand = node->operand.get();
  return tokens_.grown(std::move(node), line, {operand});
}

ExpressionPtr ExpressionParser::comparison() {
  using Kind = Comparison::Kind;
  static constexpr std::array<std::pair<std::string_view, Kind>, 6> signs = {{{"==", Kind::equal},
                                                                              {"!=", Kind::not_equal},
                                                                              {"<", Kind::less},
                                                                              {"<=", Kind::less_equal},
                                                                              {">", Kind::greater},
                                                                              {">=", Kind::greater_equal}}};
  const std::uint32_t line = tokens_.current().line;
  ExpressionPtr first = sum();
  auto node = std::make_unique<Comparison>();
  while (true) {
    const auto found =
        std::find_if(signs.begin(), signs.end(), [&](const auto& row) { return tokens_.sees(row.first); });
    Kind kind = Kind::in;
    if (found != signs.end()) {
      kind = found->second;
    } else if (tokens_.sees_name("not") && tokens_.next().is_name("in")) {
      kind = Kind::not_in;
      tokens_.take();
    } else if (!tokens_.sees_name("in")) {
      break;
    }
    tokens_.take();
    node->others.emplace_back(kind, sum());
    node->depth = std::max(node->depth, node->others.back().second->depth + 1);
  }
  if (node->others.empty()) return first;
  node->first = std::move(first);
  const Expression* deepest = node->first.get();
  return tokens_.grown(std::move(node), line, {deepest});
}

namespace {

ExpressionPtr arithmetic(const TokenStream& tokens, Operator op, std::uint32_t line, ExpressionPtr left,
                         ExpressionPtr right) {
  auto node = std::make_unique<Arithmetic>();
  node->op = op;
  node->left = std::move(left);
  node->right = std::move(right);
  const Arithmetic& n = *node;
  return tokens.grown(std::move(node), line, {n.left.get(), n.right.get()});
}

}  // namespace

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = concatenation();
  while (tokens_.sees("+") || tokens_.sees("-")) {
    const Token sign = tokens_.take();
    const Operator op = sign.text == "+" ? Operator::add : Operator::subtract;
    left = arithmetic(tokens_, op, sign.line, std::move(left), concatenation());
  }
  return left;
}

ExpressionPtr ExpressionParser::concatenation() {
  ExpressionPtr first = product();
  if (!tokens_.sees("~")) return first;
  auto node = std::make_unique<Concatenation>();
  const std::uint32_t line = tokens_.current().line;
  node->depth = first->depth + 1;
  node->parts.push_back(std::move(first));
  while (tokens_.skip("~")) {
    node->parts.push_back(product());
    node->depth = std::max(node->depth, node->parts.back()->depth + 1);
  }
  return tokens_.grown(std::move(node), line, {});
}

ExpressionPtr ExpressionParser::product() {
  static constexpr std::array<std::pair<std::string_view, Operator>, 4> signs = {
      {{"*", Operator::multiply},
       {"/", Operator::divide},
       {"//", Operator::floor_divide},
       {"%", Operator::modulo}}};
  ExpressionPtr left = power();
  while (true) {
    const auto found =
        std::find_if(signs.begin(), signs.end(), [&](const auto& row) { return tokens_.sees(row.first); });
    if (found == signs.end()) return left;
    const std::uint32_t line = tokens_.take().line;
    left = arithmetic(tokens_, found->second, line, std::move(left), power());
  }
}

ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary(true);
  while (tokens_.sees("**")) {  // from the left, as Jinja has it
    const std::uint32_t line = tokens_.take().line;
    left = arithmetic(tokens_, Operator::power, line, std::move(left), unary(true));
  }
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  ExpressionPtr value;
  if (tokens_.sees("-") || tokens_.sees("+")) {
    const TokenStream::Level level(tokens_);
    const Token sign = tokens_.take();
    auto node = std::make_unique<Sign>();
    node->is_minus = sign.text == "-";
    node->operand = unary(false);
    const Expression* operand = node->operand.get();
    value = tokens_.grown(std::move(node), sign.line, {operand});
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filters_and_tests(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::constant(Value value, std::uint32_t line) {
  auto node = std::make_unique<Constant>();
  node->value = std::move(value);
  return tokens_.grown(std::move(node), line, {});
}

ExpressionPtr ExpressionParser::primary() {
  const Token& token = tokens_.current();
  const std::uint32_t line = token.line;
  switch (token.kind) {
    case Token::Kind::name: return name_or_constant();
    case Token::Kind::integer: return constant(tokens_.take().integer, line);
    case Token::Kind::floating: return constant(tokens_.take().floating, line);
    case Token::Kind::string: {
      std::string text;
      while (tokens_.current().kind == Token::Kind::string) text += tokens_.take().text;
      return constant(literal_text(std::move(text)), line);
    }
    case Token::Kind::sign:
      if (tokens_.sees("[")) return list_display();
      if (tokens_.sees("{")) return dict_display();
      if (tokens_.skip("(")) {
        if (tokens_.sees(")")) {
          tokens_.take();
          auto empty = std::make_unique<ListDisplay>();
          empty->is_tuple = true;
          return tokens_.grown(std::move(empty), line, {});
        }
        ExpressionPtr inside = tuple(true);
        tokens_.expect(")");
        return inside;
      }
      break;
    default: break;
  }
  tokens_.unexpected("an expression");
}

ExpressionPtr ExpressionParser::name_or_constant() {
  const Token token = tokens_.take();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return constant(true, token.line);
  if (name == "false" || name == "False") return constant(false, token.line);
  if (name == "none" || name == "None") return constant(None{}, token.line);
  mentions.caller = mentions.caller || name == "caller";
  mentions.varargs = mentions.varargs || name == "varargs";
  mentions.kwargs = mentions.kwargs || name == "kwargs";
  auto node = std::make_unique<Name>();
  node->symbol = tokens_.symbol(name);
  node->if_unknown.why = std::make_shared<const std::string>(in_quotes(name) + " is undefined");
  return tokens_.grown(std::move(node), token.line, {});
}

bool ExpressionParser::ends_tuple() const {
  const Token::Kind kind = tokens_.current().kind;
  return kind == Token::Kind::variable_end || kind == Token::Kind::block_end || tokens_.sees(")");
}

ExpressionPtr ExpressionParser::tuple(bool with_condition) {
  const auto part = [&] { return with_condition ? expression() : without_condition(); };
  const TokenStream::Level level(tokens_);
  const std::uint32_t line = tokens_.current().line;
  ExpressionPtr first = part();
  if (!tokens_.sees(",")) return first;
  auto node = std::make_unique<ListDisplay>();
  node->is_tuple = true;
  node->depth = first->depth + 1;
  node->items.push_back(std::move(first));
  while (tokens_.skip(",") && !ends_tuple()) {
    node->items.push_back(part());
    node->depth = std::max(node->depth, node->items.back()->depth + 1);
  }
  return tokens_.grown(std::move(node), line, {});
}

ExpressionPtr ExpressionParser::list_display() {
  const std::uint32_t line = tokens_.take().line;
  auto node = std::make_unique<ListDisplay>();
  while (!tokens_.sees("]")) {
    if (!node->items.empty()) {
      tokens_.expect(",");
      if (tokens_.sees("]")) break;
    }
    node->items.push_back(expression());
    node->depth = std::max(node->depth, node->items.back()->depth + 1);
  }
  tokens_.expect("]");
  return tokens_.grown(std::move(node), line, {});
}

ExpressionPtr ExpressionParser::dict_display() {
  const std::uint32_t line = tokens_.take().line;
  auto node = std::make_unique<DictDisplay>();
  while (!tokens_.sees("}")) {
    if (!node->items.empty()) {
      tokens_.expect(",");
      if (tokens_.sees("}")) break;
    }
    ExpressionPtr key = expression();
    tokens_.expect(":");
    ExpressionPtr value = expression();
    node->depth = std::max({node->depth, key->depth + 1, value->depth + 1});
    node->items.emplace_back(std::move(key), std::move(value));
  }
  tokens_.expect("}");
  return tokens_.grown(std::move(node), line, {});
}

}  // namespace troupe::jinja
