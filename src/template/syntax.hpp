#pragma once
// A parsed template: expressions that have a value, statements that write and assign. Immutable, so that any
// number of renderings can run it at once.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "template/builtin.hpp"

namespace troupe::jinja {

class Expression {
 public:
  Expression() = default;
  virtual ~Expression() = default;
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;

  Value evaluate(Rendering& in) const {
    in.budget.step();
    const Budget::Level level(in.budget);
    return compute(in);
  }

  std::uint32_t line = 0;
  std::uint32_t depth = 1;  ///< of the tree below it, itself included

 private:
  virtual Value compute(Rendering& in) const = 0;
};

using ExpressionPtr = std::unique_ptr<const Expression>;

/// How a statement ended: what {% break %} and {% continue %} are for the loop around them.
enum class Flow : std::uint8_t { next, leave_loop, next_iteration };

class Statement {
 public:
  Statement() = default;
  virtual ~Statement() = default;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  virtual Flow run(Rendering& in) const = 0;

  std::uint32_t line = 0;
};

/// Statements one after the other.
struct Block {
  std::vector<std::unique_ptr<const Statement>> statements;

  Flow run(Rendering& in) const;
};

// --- expressions

struct Constant final : Expression {
  Value value;  // never an object

 private:
  Value compute(Rendering&) const override { return value; }
};

struct Name final : Expression {
  Symbol symbol = 0;
  Undefined if_unknown;

 private:
  Value compute(Rendering& in) const override;
};

struct ListDisplay final : Expression {
  std::vector<ExpressionPtr> items;
  bool is_tuple = false;

 private:
  Value compute(Rendering& in) const override;
};

struct DictDisplay final : Expression {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;

 private:
  Value compute(Rendering& in) const override;
};

struct Attribute final : Expression {
  ExpressionPtr object;
  std::string name;

 private:
  Value compute(Rendering& in) const override;
};

struct Item final : Expression {
  ExpressionPtr object, key;

 private:
  Value compute(Rendering& in) const override;
};

struct Slice final : Expression {
  ExpressionPtr object, begin, end, step;  // the last three may be null

 private:
  Value compute(Rendering& in) const override;
};

/// The arguments of a call as written: f(a, *more, name=b, **named).
struct ArgumentList {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr more, more_named;  // may be null

  Arguments evaluate(Rendering& in) const;
};

struct CallExpression final : Expression {
  ExpressionPtr callee;
  ArgumentList arguments;

  Value call(Rendering& in, const Value* caller) const;  ///< with `caller` added, unless null

 private:
  Value compute(Rendering& in) const override { return call(in, nullptr); }
};

struct Filter final : Expression {
  ExpressionPtr input;               // null: what a {% filter %} block has captured
  const Builtin* builtin = nullptr;  // null: there is none by that name, which is an error when it runs
  std::string name;
  ArgumentList arguments;

  Value apply(Rendering& in, const Value& value) const;

 private:
  Value compute(Rendering& in) const override;
};

struct Test final : Expression {
  ExpressionPtr input;
  const Builtin* builtin = nullptr;
  std::string name;
  ArgumentList arguments;

 private:
  Value compute(Rendering& in) const override;
};

struct Conditional final : Expression {
  ExpressionPtr condition, then, otherwise;  // the last may be null: undefined

 private:
  Value compute(Rendering& in) const override;
};

/// and, or: the value that decides.
struct Junction final : Expression {
  ExpressionPtr left, right;
  bool is_and = false;

 private:
  Value compute(Rendering& in) const override;
};

struct Not final : Expression {
  ExpressionPtr operand;

 private:
  Value compute(Rendering& in) const override;
};

struct Sign final : Expression {
  ExpressionPtr operand;
  bool is_minus = false;

 private:
  Value compute(Rendering& in) const override;
};

struct Arithmetic final : Expression {
  ExpressionPtr left, right;
  Operator op = Operator::add;

 private:
  Value compute(Rendering& in) const override;
};

/// a ~ b ~ c
struct Concatenation final : Expression {
  std::vector<ExpressionPtr> parts;

 private:
  Value compute(Rendering& in) const override;
};

/// a < b <= c: each neighbour pair must hold.
struct Comparison final : Expression {
  enum class Kind : std::uint8_t { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };
  ExpressionPtr first;
  std::vector<std::pair<Kind, ExpressionPtr>> others;

 private:
  Value compute(Rendering& in) const override;
};

bool compare(Rendering& in, Comparison::Kind kind, const Value& a, const Value& b);

// --- statements

/// What a value is assigned to: a name, an attribute of a namespace, or a tuple of these.
struct Target {
  Symbol symbol = 0;
  std::string name;       // for messages
  std::string attribute;  // of the namespace `symbol`; empty: the name itself
  std::vector<Target> parts;

  void assign(Rendering& in, const Value& value) const;
};

struct Data final : Statement {
  TextPtr text;
  Flow run(Rendering& in) const override;
};

struct Output final : Statement {
  ExpressionPtr expression;
  Flow run(Rendering& in) const override;
};

struct If final : Statement {
  std::vector<std::pair<ExpressionPtr, Block>> branches;
  Block otherwise;
  Flow run(Rendering& in) const override;
};

struct For final : Statement {
  Target target;
  ExpressionPtr iterable, condition;  // the condition may be null
  Block body, otherwise;
  Symbol loop = 0;
  Flow run(Rendering& in) const override;

 private:
  List& chosen(Rendering& in) const;
};

struct Set final : Statement {
  Target target;
  ExpressionPtr value;
  Flow run(Rendering& in) const override;
};

/// {% set name %} … {% endset %}
struct SetBlock final : Statement {
  Target target;
  Block body;
  std::vector<std::unique_ptr<const Filter>> filters;
  Flow run(Rendering& in) const override;
};

struct Parameter {
  Symbol symbol = 0;
  std::string name;
  ExpressionPtr fallback;  // may be null
};

/// What a macro and the body of a {% call %} have in common.
struct Procedure {
  std::string name;
  std::vector<Parameter> parameters;
  Block body;
  Symbol caller = 0, varargs = 0, kwargs = 0;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};

struct Macro final : Statement {
  Symbol symbol = 0;
  Procedure procedure;
  Flow run(Rendering& in) const override;
};

struct CallBlock final : Statement {
  std::unique_ptr<const CallExpression> call;
  Procedure procedure;
  Flow run(Rendering& in) const override;
};

struct FilterBlock final : Statement {
  std::vector<std::unique_ptr<const Filter>> filters;
  Block body;
  Flow run(Rendering& in) const override;
};

struct With final : Statement {
  std::vector<std::pair<Target, ExpressionPtr>> values;
  Block body;
  Flow run(Rendering& in) const override;
};

/// {% generation %}, which marks what a model is trained on, and changes nothing here.
struct Generation final : Statement {
  Block body;
  Flow run(Rendering& in) const override { return body.run(in); }
};

struct LoopControl final : Statement {
  Flow flow = Flow::leave_loop;
  Flow run(Rendering&) const override { return flow; }
};

/// {% do expression %}
struct Do final : Statement {
  ExpressionPtr expression;
  Flow run(Rendering& in) const override;
};

/// A whole template.
struct Syntax {
  Block body;
  std::vector<std::string> names;  // by symbol
};

}  // namespace troupe::jinja
