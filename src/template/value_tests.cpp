// Tests: {% if x is … %}.

#include "template/builtin.hpp"
#include "template/syntax.hpp"
#include "template/unicode.hpp"

#include "base/utf8.hpp"

namespace troupe::jinja {
namespace {

Value is_defined(Call&, const Value& self) {
  return !self.is_undefined();
}
Value is_undefined(Call&, const Value& self) {
  return self.is_undefined();
}
Value is_none(Call&, const Value& self) {
  return self.is_none();
}
Value is_boolean(Call&, const Value& self) {
  return self.get<bool>() != nullptr;
}
Value is_the_truth(Call&, const Value& self) {
  return self.get<bool>() != nullptr && *self.get<bool>();
}
Value is_the_untruth(Call&, const Value& self) {
  return self.get<bool>() != nullptr && !*self.get<bool>();
}
Value is_integer(Call&, const Value& self) {
  return self.get<std::int64_t>() != nullptr;
}
Value is_float(Call&, const Value& self) {
  return self.get<double>() != nullptr;
}
Value is_number(Call&, const Value& self) {
  return self.is_number();  // bools too, as in Python
}
Value is_string(Call&, const Value& self) {
  return self.text() != nullptr;
}
Value is_mapping(Call&, const Value& self) {
  return self.dict() != nullptr;
}
Value is_iterable(Call&, const Value& self) {
  return self.text() != nullptr || self.list() != nullptr || self.dict() != nullptr || self.is_undefined();
}
Value has_calls(Call&, const Value& self) {
  return is_callable(self);
}
Value is_escaped(Call&, const Value&) {
  return false;  // nothing is marked as safe for a web page
}

std::int64_t remainder(Call& call, const Value& self, std::int64_t divisor) {
  const Value rest =
      calculate(call.in, Operator::modulo, Value(integer_of(call.in, self, call.builtin.name)), divisor);
  return *rest.as_integer();
}
Value is_odd(Call& call, const Value& self) {
  return remainder(call, self, 2) == 1;
}
Value is_even(Call& call, const Value& self) {
  return remainder(call, self, 2) == 0;
}
Value is_divisible(Call& call, const Value& self) {
  return remainder(call, self, call.integer(0, 1)) == 0;
}

/// Whether there are letters, none of them of the case that `is_other` tells.
bool has_one_case(Call& call, const Value& self, bool (*is_wanted)(char32_t), bool (*is_other)(char32_t)) {
  const TextPtr text = to_text(call.budget, self);
  call.budget.walk(text->bytes().size());
  bool found = false;
  for (std::string_view rest = text->bytes(); !rest.empty();) {
    const Utf8Step step = utf8_step(rest);
    rest.remove_prefix(step.bytes);
    if (!step.valid) continue;
    if (is_other(step.code)) return false;
    found = found || is_wanted(step.code);
  }
  return found;
}
Value is_lower_case(Call& call, const Value& self) {
  return has_one_case(call, self, is_lower, is_upper);
}
Value is_upper_case(Call& call, const Value& self) {
  return has_one_case(call, self, is_upper, is_lower);
}

/// Python's "is". Equal strings count as the same, as they mostly are where a template asks.
Value is_same(Call& call, const Value& self) {
  const Value& other = *call.at(0);
  if (self.list() != nullptr) return self.list() == other.list();
  if (self.dict() != nullptr) return self.dict() == other.dict();
  return type_name(self) == type_name(other) && equal(call.budget, self, other);
}

template <Comparison::Kind kind>
Value compares(Call& call, const Value& self) {
  return compare(call.in, kind, self, *call.at(0));
}

Value is_filter(Call& call, const Value& self) {
  return find_filter(to_text(call.budget, self)->bytes()) != nullptr;
}
Value is_test(Call& call, const Value& self) {
  return find_test(to_text(call.budget, self)->bytes()) != nullptr;
}

using Kind = Comparison::Kind;

constexpr Builtin tests[] = {
    {"!=", "other", 1, compares<Kind::not_equal>},
    {"<", "other", 1, compares<Kind::less>},
    {"<=", "other", 1, compares<Kind::less_equal>},
    {"==", "other", 1, compares<Kind::equal>},
    {">", "other", 1, compares<Kind::greater>},
    {">=", "other", 1, compares<Kind::greater_equal>},
    {"boolean", "", 0, is_boolean},
    {"callable", "", 0, has_calls},
    {"defined", "", 0, is_defined},
    {"divisibleby", "num", 1, is_divisible},
    {"eq", "other", 1, compares<Kind::equal>},
    {"equalto", "other", 1, compares<Kind::equal>},
    {"escaped", "", 0, is_escaped},
    {"even", "", 0, is_even},
    {"false", "", 0, is_the_untruth},
    {"filter", "", 0, is_filter},
    {"float", "", 0, is_float},
    {"ge", "other", 1, compares<Kind::greater_equal>},
    {"greaterthan", "other", 1, compares<Kind::greater>},
    {"gt", "other", 1, compares<Kind::greater>},
    {"in", "seq", 1, compares<Kind::in>},
    {"integer", "", 0, is_integer},
    {"iterable", "", 0, is_iterable},
    {"le", "other", 1, compares<Kind::less_equal>},
    {"lessthan", "other", 1, compares<Kind::less>},
    {"lower", "", 0, is_lower_case},
    {"lt", "other", 1, compares<Kind::less>},
    {"mapping", "", 0, is_mapping},
    {"ne", "other", 1, compares<Kind::not_equal>},
    {"none", "", 0, is_none},
    {"number", "", 0, is_number},
    {"odd", "", 0, is_odd},
    {"sameas", "other", 1, is_same},
    {"sequence", "", 0, is_iterable},
    {"string", "", 0, is_string},
    {"test", "", 0, is_test},
    {"true", "", 0, is_the_truth},
    {"undefined", "", 0, is_undefined},
    {"upper", "", 0, is_upper_case},
};

}  // namespace

const Builtin* find_test(std::string_view name) {
  return find_row(tests, name);
}

}  // namespace troupe::jinja
