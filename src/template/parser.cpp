#include "template/parser.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/utf8.hpp"
#include "template/expression_parser.hpp"

namespace troupe::jinja {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)), expressions_(tokens_) {}

  Syntax run() {
    Syntax syntax;
    syntax.body = block({});
    syntax.names = tokens_.take_names();
    return syntax;
  }

 private:
  using Ends = std::initializer_list<std::string_view>;

  /// Statements up to a tag that begins with one of `ends`, whose name is then the current token; without
  /// ends, to the end of the template.
  Block block(Ends ends) {
    const TokenStream::Level level(tokens_);
    const std::uint32_t begin_line = tokens_.current().line;
    Block block;
    while (true) {
      const Token& token = tokens_.current();
      if (token.kind == Token::Kind::end) {
        if (ends.size() > 0) {
          fail_at(begin_line,
                  "the block that begins here has no {% " + std::string(*(ends.end() - 1)) + " %}");
        }
        return block;
      }
      const std::uint32_t line = token.line;
      if (token.kind == Token::Kind::block_begin) {
        tokens_.take();
        if (std::any_of(ends.begin(), ends.end(), [&](auto end) { return tokens_.sees_name(end); }))
          return block;
        add(block, statement(), line);
        tokens_.expect(Token::Kind::block_end, "'%}'");
      } else if (token.kind == Token::Kind::variable_begin) {
        tokens_.take();
        auto node = std::make_unique<Output>();
        node->expression = expressions_.tuple(true);
        tokens_.expect(Token::Kind::variable_end, "'}}'");
        add(block, std::move(node), line);
      } else {
        auto node = std::make_unique<Data>();
        node->text = literal_text(tokens_.take().text);
        add(block, std::move(node), line);
      }
    }
  }

  static void add(Block& block, std::unique_ptr<Statement> node, std::uint32_t line) {
    node->line = line;
    block.statements.push_back(std::move(node));
  }

  /// A block behind the end of the tag that opens it.
  Block body(Ends ends) {
    tokens_.expect(Token::Kind::block_end, "'%}'");
    return block(ends);
  }

  /// One whose output is a value: no {% break %} leaves it.
  Block captured_body(std::string_view end) {
    const std::uint32_t loops_before = std::exchange(loops_, 0);
    Block block = body({end});
    loops_ = loops_before;
    return block;
  }

  std::unique_ptr<Statement> statement() {
    struct Row {
      std::string_view name;
      std::unique_ptr<Statement> (Parser::*parse)();
    };
    static constexpr std::array<Row, 11> rows = {{{"if", &Parser::if_statement},
                                                  {"for", &Parser::for_statement},
                                                  {"set", &Parser::set_statement},
                                                  {"macro", &Parser::macro},
                                                  {"call", &Parser::call_block},
                                                  {"filter", &Parser::filter_block},
                                                  {"with", &Parser::with_statement},
                                                  {"generation", &Parser::generation},
                                                  {"break", &Parser::loop_control},
                                                  {"continue", &Parser::loop_control},
                                                  {"do", &Parser::do_statement}}};
    if (tokens_.current().kind != Token::Kind::name) tokens_.unexpected("the name of a tag");
    for (const Row& row : rows) {
      if (tokens_.sees_name(row.name)) return (this->*row.parse)();
    }
    static constexpr std::array<std::string_view, 7> of_files = {"include", "import", "from",      "extends",
                                                                 "block",   "trans",  "autoescape"};
    const std::string& name = tokens_.current().text;
    const bool known = std::find(of_files.begin(), of_files.end(), name) != of_files.end();
    fail_at(tokens_.current().line, known
                                        ? "the tag " + in_quotes(name) + " has no meaning in a chat template"
                                        : "there is no tag " + in_quotes(name) + " that could stand here");
  }

  std::unique_ptr<Statement> if_statement() {
    auto node = std::make_unique<If>();
    tokens_.take();
    while (true) {
      ExpressionPtr condition = expressions_.tuple(true);
      node->branches.emplace_back(std::move(condition), body({"elif", "else", "endif"}));
      if (tokens_.skip_name("elif")) continue;
      if (tokens_.skip_name("else")) node->otherwise = body({"endif"});
      tokens_.expect_name("endif");
      return node;
    }
  }

  std::unique_ptr<Statement> for_statement() {
    auto node = std::make_unique<For>();
    tokens_.take();
    node->loop = tokens_.symbol("loop");
    node->target = target_tuple();
    tokens_.expect_name("in");
    node->iterable = expressions_.tuple(false);
    if (tokens_.skip_name("if")) node->condition = expressions_.expression();
    if (tokens_.sees_name("recursive")) {
      fail_at(tokens_.current().line, "recursive loops are not supported; a macro can call itself");
    }
    ++loops_;
    node->body = body({"else", "endfor"});
    --loops_;
    if (tokens_.skip_name("else")) node->otherwise = body({"endfor"});
    tokens_.expect_name("endfor");
    return node;
  }

  /// A name, an attribute of a namespace, or a tuple in brackets.
  Target target() {
    const TokenStream::Level level(tokens_);
    if (tokens_.sees("(") || tokens_.sees("[")) {
      const bool is_round = tokens_.take().text == "(";
      Target inside = target_tuple();
      tokens_.expect(is_round ? ")" : "]");
      return inside;
    }
    Target target;
    target.name = tokens_.take_name();
    static constexpr std::array<std::string_view, 6> constants = {"true", "false", "none",
                                                                  "True", "False", "None"};
    if (std::find(constants.begin(), constants.end(), target.name) != constants.end()) {
      fail_at(tokens_.current().line, in_quotes(target.name) + " cannot be assigned to");
    }
    target.symbol = tokens_.symbol(target.name);
    if (tokens_.skip(".")) target.attribute = tokens_.take_name();
    return target;
  }

  Target target_tuple() {
    Target first = target();
    if (!tokens_.sees(",")) return first;
    Target tuple;
    tuple.parts.push_back(std::move(first));
    while (tokens_.skip(",") && (tokens_.sees("(") || tokens_.current().kind == Token::Kind::name) &&
           !tokens_.sees_name("in")) {
      tuple.parts.push_back(target());
    }
    return tuple;
  }

  std::unique_ptr<Statement> set_statement() {
    tokens_.take();
    Target assigned = target_tuple();
    if (tokens_.skip("=")) {
      auto node = std::make_unique<Set>();
      node->target = std::move(assigned);
      node->value = expressions_.tuple(true);
      return node;
    }
    auto node = std::make_unique<SetBlock>();
    node->target = std::move(assigned);
    node->filters = expressions_.filter_chain();
    node->body = captured_body("endset");
    tokens_.expect_name("endset");
    return node;
  }

  /// Parameters in brackets.
  void parameters(Procedure& made) {
    tokens_.expect("(");
    while (!tokens_.sees(")")) {
      if (!made.parameters.empty()) {
        tokens_.expect(",");
        if (tokens_.sees(")")) break;
      }
      Parameter parameter;
      parameter.name = tokens_.take_name();
      parameter.symbol = tokens_.symbol(parameter.name);
      if (tokens_.skip("=")) {
        parameter.fallback = expressions_.expression();
      } else if (!made.parameters.empty() && made.parameters.back().fallback != nullptr) {
        fail_at(tokens_.current().line,
                "parameter " + in_quotes(parameter.name) + " needs a default, as the one before it has one");
      }
      made.parameters.push_back(std::move(parameter));
    }
    tokens_.expect(")");
  }

  void procedure_body(Procedure& made, std::string_view end) {
    const auto mentions_before = std::exchange(expressions_.mentions, {});
    const std::uint32_t loops_before = std::exchange(loops_, 0);
    made.body = body({end});
    tokens_.expect_name(end);
    made.caller = tokens_.symbol("caller");
    made.varargs = tokens_.symbol("varargs");
    made.kwargs = tokens_.symbol("kwargs");
    made.uses_caller = expressions_.mentions.caller;
    made.uses_varargs = expressions_.mentions.varargs;
    made.uses_kwargs = expressions_.mentions.kwargs;
    expressions_.mentions = mentions_before;
    loops_ = loops_before;
  }

  std::unique_ptr<Statement> macro() {
    auto node = std::make_unique<Macro>();
    tokens_.take();
    node->procedure.name = tokens_.take_name();
    node->symbol = tokens_.symbol(node->procedure.name);
    parameters(node->procedure);
    procedure_body(node->procedure, "endmacro");
    return node;
  }

  std::unique_ptr<Statement> call_block() {
    auto node = std::make_unique<CallBlock>();
    tokens_.take();
    node->procedure.name = "caller";
    if (tokens_.sees("(")) parameters(node->procedure);
    const std::uint32_t line = tokens_.current().line;
    ExpressionPtr called = expressions_.expression();
    const auto* call = dynamic_cast<const CallExpression*>(called.get());
    if (call == nullptr) fail_at(line, "{% call %} needs the call of a macro");
    static_cast<void>(called.release());
    node->call.reset(call);
    procedure_body(node->procedure, "endcall");
    return node;
  }

  std::unique_ptr<Statement> filter_block() {
    auto node = std::make_unique<FilterBlock>();
    tokens_.take();
    node->filters.push_back(expressions_.filter(nullptr));
    for (auto& filter : expressions_.filter_chain()) node->filters.push_back(std::move(filter));
    node->body = captured_body("endfilter");
    tokens_.expect_name("endfilter");
    return node;
  }

  std::unique_ptr<Statement> with_statement() {
    auto node = std::make_unique<With>();
    tokens_.take();
    while (tokens_.current().kind != Token::Kind::block_end) {
      if (!node->values.empty()) tokens_.expect(",");
      Target name = target();
      tokens_.expect("=");
      node->values.emplace_back(std::move(name), expressions_.expression());
    }
    node->body = body({"endwith"});
    tokens_.expect_name("endwith");
    return node;
  }

  std::unique_ptr<Statement> generation() {
    auto node = std::make_unique<Generation>();
    tokens_.take();
    node->body = body({"endgeneration"});
    tokens_.expect_name("endgeneration");
    return node;
  }

  std::unique_ptr<Statement> loop_control() {
    auto node = std::make_unique<LoopControl>();
    const Token tag = tokens_.take();
    if (loops_ == 0) fail_at(tag.line, "{% " + tag.text + " %} stands outside of a loop");
    node->flow = tag.text == "break" ? Flow::leave_loop : Flow::next_iteration;
    return node;
  }

  std::unique_ptr<Statement> do_statement() {
    auto node = std::make_unique<Do>();
    tokens_.take();
    node->expression = expressions_.tuple(true);
    return node;
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  std::uint32_t loops_ = 0;  // around the current statement, within its macro
};

}  // namespace

Syntax parse(std::string_view source) {
  return Parser(source).run();
}

}  // namespace troupe::jinja
