#pragma once
// What the language brings along: filters, tests, methods and functions, each a row of a table.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "template/rendering.hpp"

namespace troupe::jinja {

struct Builtin;

/// One call of a builtin, with its arguments in the order of its parameters.
class Call {
 public:
  /// Throws when an argument has no parameter, or a parameter that is needed no argument.
  Call(Rendering& rendering, const Builtin& callee, const Arguments& given);

  /// Null when the argument was not given.
  const Value* at(std::size_t index) const { return bound_[index]; }
  bool has(std::size_t index) const { return bound_[index] != nullptr; }
  /// Not given, or given as none.
  bool lacks(std::size_t index) const { return !has(index) || bound_[index]->is_none(); }

  // The argument as a type, or `fallback`; throws when it is of another.
  std::int64_t integer(std::size_t index, std::int64_t fallback) const;
  bool truth(std::size_t index, bool fallback) const;
  /// str(argument); null when not given.
  TextPtr text(std::size_t index) const;

  /// Throws, naming the builtin.
  [[noreturn]] void fail(const std::string& what) const;

  Rendering& in;
  Budget& budget;
  const Builtin& builtin;
  const Arguments& arguments;  ///< as given; for those whose parameters are "*"

 private:
  static constexpr std::size_t parameters_max = 6;
  std::array<const Value*, parameters_max> bound_{};
};

struct Builtin {
  std::string_view name;
  /// The names of the parameters with blanks between; "*" takes whatever is given.
  std::string_view parameters;
  std::uint8_t required;  ///< how many of them must be given
  Value (*run)(Call& call, const Value& self);
};

Value run_builtin(Rendering& in, const Builtin& builtin, const Value& self, const Arguments& arguments);

// Null when there is none by that name.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
const Builtin* find_function(std::string_view name);  ///< range(), namespace(), …
/// What `object.name(…)` means for a str, list, tuple or dict.
const Builtin* find_method(const Value& object, std::string_view name);

/// A builtin as a value: a method with its object, or a function.
struct BoundBuiltin final : Object {
  std::string_view type_name() const override { return "builtin"; }
  bool callable() const override { return true; }
  Value call(Rendering& in, const Arguments& arguments) override {
    return run_builtin(in, *builtin, self, arguments);
  }

  const Builtin* builtin = nullptr;
  Value self;
};

/// The value of the attribute that a filter's `attribute` names: "a.b.0".
Value attribute_path(Rendering& in, const Value& item, const Value& path);

// The parts of the tables; a row's place is where its kind is.
const Builtin* find_text_filter(std::string_view name);
const Builtin* find_list_filter(std::string_view name);
const Builtin* find_choosing_filter(std::string_view name);
const Builtin* find_number_filter(std::string_view name);
const Builtin* find_text_method(std::string_view name);
const Builtin* find_splitting_method(std::string_view name);
const Builtin* find_container_method(const Value& object, std::string_view name);

template <std::size_t N>
const Builtin* find_row(const Builtin (&table)[N], std::string_view name) {
  for (const Builtin& row : table) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

// What filters and methods share.

/// `text` without the white space, or without any of the characters of `characters`, at its ends.
Value stripped(Rendering& in, const Text& text, const Text* characters, bool left, bool right);
Value replaced(Rendering& in, const Text& text, const Text& old, const Text& fresh, std::int64_t count_max);
Value capitalized(Rendering& in, const Text& text);
Value padded(Rendering& in, const Text& text, std::int64_t left, std::int64_t right, std::string_view fill);
Value centered(Call& call, const Text& text, std::int64_t width, std::string_view fill);
/// The lines of `text`, without their ends unless `keep_ends`.
List& split_lines(Rendering& in, const Text& text, bool keep_ends = false);
/// "…".format(…).
Value format_braces(Rendering& in, const Text& format, const Arguments& arguments);
Value joined_items(Rendering& in, const Text& separator, const List& list);
/// Puts into `dict` what dict(…) and dict.update(…) are given.
void fill_dict(Call& call, Dict& dict);
void sort_values(Rendering& in, std::vector<std::pair<Value, Value>>& keyed, bool reverse);

}  // namespace troupe::jinja
