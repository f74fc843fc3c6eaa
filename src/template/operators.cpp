// + - * / // % ** ~ and in, as Python computes them. Integers have 64 bits; what does not fit is an error.

#include <cmath>
#include <limits>

#include "template/rendering.hpp"

namespace troupe::jinja {
namespace {

constexpr std::int64_t integer_min = std::numeric_limits<std::int64_t>::min();

const char* sign_of(Operator op) {
  switch (op) {
    case Operator::add: return "+";
    case Operator::subtract: return "-";
    case Operator::multiply: return "*";
    case Operator::divide: return "/";
    case Operator::floor_divide: return "//";
    case Operator::modulo: return "%";
    case Operator::power: return "**";
  }
  return "?";
}

[[noreturn]] void fail_types(Rendering& in, Operator op, const Value& a, const Value& b) {
  for (const Value* value : {&a, &b}) {
    if (const auto* undefined = value->get<Undefined>()) fail_undefined(in, *undefined);
  }
  in.budget.fail(std::string("'") + sign_of(op) + "' is not possible between " + std::string(type_name(a)) +
                 " and " + std::string(type_name(b)));
}

std::int64_t checked(Rendering& in, bool overflow, std::int64_t result) {
  if (overflow) in.budget.fail("an integer becomes too large for 64 bits");
  return result;
}

Value integer_power(Rendering& in, std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) in.budget.fail("division by zero");
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  std::int64_t result = 1;
  bool overflow = false;
  while (exponent > 0 && !overflow) {
    if ((exponent & 1) != 0) overflow = __builtin_mul_overflow(result, base, &result);
    exponent >>= 1;
    // Only a square that is needed may overflow.
    if (exponent > 0 && !overflow) overflow = __builtin_mul_overflow(base, base, &base);
  }
  return checked(in, overflow, result);
}

Value integers(Rendering& in, Operator op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  const bool divides = op == Operator::divide || op == Operator::floor_divide || op == Operator::modulo;
  if (divides && b == 0) in.budget.fail("division by zero");
  switch (op) {
    case Operator::add: overflow = __builtin_add_overflow(a, b, &result); break;
    case Operator::subtract: overflow = __builtin_sub_overflow(a, b, &result); break;
    case Operator::multiply: overflow = __builtin_mul_overflow(a, b, &result); break;
    case Operator::divide: return static_cast<double>(a) / static_cast<double>(b);
    case Operator::floor_divide:
      if (a == integer_min && b == -1) return checked(in, true, 0);
      return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
    case Operator::modulo:
      if (b == -1) return std::int64_t{0};
      result = a % b;
      return result != 0 && (result < 0) != (b < 0) ? result + b : result;
    case Operator::power: return integer_power(in, a, b);
  }
  return checked(in, overflow, result);
}

Value doubles(Rendering& in, Operator op, double a, double b) {
  const bool divides = op == Operator::divide || op == Operator::floor_divide || op == Operator::modulo;
  if (divides && b == 0) in.budget.fail("division by zero");
  switch (op) {
    case Operator::add: return a + b;
    case Operator::subtract: return a - b;
    case Operator::multiply: return a * b;
    case Operator::divide: return a / b;
    case Operator::floor_divide: return std::floor(a / b);
    case Operator::modulo: {
      const double rest = std::fmod(a, b);
      return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    }
    case Operator::power: {
      const double result = std::pow(a, b);
      if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) {
        in.budget.fail("a negative number has no such power");
      }
      return result;
    }
  }
  return {};
}

Value repeated(Rendering& in, const Text& text, std::int64_t times) {
  TextBuilder builder(in.budget);
  if (text.empty()) return builder.finish();
  in.budget.check_repeated(text.bytes().size(), times);
  for (std::int64_t i = 0; i < times; ++i) {
    in.budget.step();
    builder.append(text);
  }
  return builder.finish();
}

Value repeated(Rendering& in, const List& list, std::int64_t times) {
  List& result = in.make_list();
  result.is_tuple = list.is_tuple;
  if (list.items.empty()) return &result;
  for (std::int64_t i = 0; i < times; ++i) {
    in.budget.step(list.items.size());
    for (const Value& item : list.items) result.push(in.budget, item);
  }
  return &result;
}

Value joined(Rendering& in, const List& a, const List& b) {
  List& result = in.make_list();
  result.is_tuple = a.is_tuple;
  in.budget.step(a.items.size() + b.items.size());
  result.items.reserve(a.items.size() + b.items.size());
  for (const Value& item : a.items) result.push(in.budget, item);
  for (const Value& item : b.items) result.push(in.budget, item);
  return &result;
}

Value joined(Rendering& in, const Text& a, const Text& b) {
  TextBuilder builder(in.budget);
  builder.append(a);
  builder.append(b);
  return builder.finish();
}

}  // namespace

Value calculate(Rendering& in, Operator op, const Value& a, const Value& b) {
  in.budget.step();
  if (op == Operator::add) {
    if (a.text() != nullptr && b.text() != nullptr) return joined(in, *a.text(), *b.text());
    if (a.list() != nullptr && b.list() != nullptr && a.list()->is_tuple == b.list()->is_tuple) {
      return joined(in, *a.list(), *b.list());
    }
  }
  if (op == Operator::modulo && a.text() != nullptr) return format_percent(in, *a.text(), b);
  if (op == Operator::multiply) {
    const bool swapped = a.as_integer().has_value();
    const Value& sequence = swapped ? b : a;
    if (const auto times = (swapped ? a : b).as_integer()) {
      if (sequence.text() != nullptr) return repeated(in, *sequence.text(), *times);
      if (sequence.list() != nullptr) return repeated(in, *sequence.list(), *times);
    }
  }
  if (!a.is_number() || !b.is_number()) fail_types(in, op, a, b);
  if (a.as_integer() && b.as_integer()) return integers(in, op, *a.as_integer(), *b.as_integer());
  return doubles(in, op, *a.as_double(), *b.as_double());
}

Value negated(Rendering& in, const Value& value) {
  if (const auto number = value.as_integer()) {
    if (*number == integer_min) return checked(in, true, 0);
    return -*number;
  }
  if (const auto number = value.as_double()) return -*number;
  if (const auto* undefined = value.get<Undefined>()) fail_undefined(in, *undefined);
  in.budget.fail("'-' is not possible in front of " + std::string(type_name(value)));
}

bool contains(Rendering& in, const Value& container, const Value& item) {
  in.budget.step();
  if (const Text* text = container.text()) {
    const Text* part = item.text();
    if (part == nullptr) {
      if (const auto* undefined = item.get<Undefined>()) fail_undefined(in, *undefined);
      in.budget.fail("'in' a str needs a str, not " + std::string(type_name(item)));
    }
    in.budget.walk(text->bytes().size() + part->bytes().size());
    return text->bytes().find(part->bytes()) != std::string_view::npos;
  }
  if (const List* list = container.list()) {
    for (const Value& element : list->items) {
      if (equal(in.budget, element, item)) return true;
    }
    return false;
  }
  if (const Dict* dict = container.dict()) return dict->find(in.budget, item) != nullptr;
  if (container.is_undefined()) return false;
  in.budget.fail("'in' does not work with " + std::string(type_name(container)));
}

}  // namespace troupe::jinja
