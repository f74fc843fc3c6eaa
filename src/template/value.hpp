#pragma once
// What the expressions of a template have as values: Python's, as far as templates use them.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "template/text.hpp"

namespace troupe::jinja {

class Rendering;
class Value;
struct Arguments;
struct List;
struct Dict;

/// A name or attribute that is not there. Renders as nothing; most other uses fail with `why`.
struct Undefined {
  std::shared_ptr<const std::string> why;  ///< may be null
};
struct None {};

/// Whatever is made while rendering and refers to other values. Owned by the Rendering until its end, so that
/// cycles (a list that was appended to itself) are no leaks and long chains need no stack to be destroyed.
class Object {
 public:
  Object() = default;
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  virtual std::string_view type_name() const = 0;  ///< as Python names the type
  virtual std::optional<Value> attribute(Rendering& in, std::string_view name);
  virtual bool callable() const { return false; }
  virtual Value call(Rendering& in, const Arguments& arguments);
};

/// Copied by value; texts are shared, objects belong to the Rendering.
class Value {
 public:
  Value() : kind_(Undefined{}) {}
  Value(Undefined undefined) : kind_(std::move(undefined)) {}  // NOLINT: implicit, as all of these
  Value(None none) : kind_(none) {}                            // NOLINT
  Value(bool truth) : kind_(truth) {}                          // NOLINT
  Value(std::int64_t number) : kind_(number) {}                // NOLINT
  Value(double number) : kind_(number) {}                      // NOLINT
  Value(TextPtr text) : kind_(std::move(text)) {}              // NOLINT
  Value(List* list) : kind_(list) {}                           // NOLINT
  Value(Dict* dict) : kind_(dict) {}                           // NOLINT
  Value(Object* object) : kind_(object) {}                     // NOLINT
  Value(const void*) = delete;                                 // or pointers would be truths

  /// Null when the value is of another kind.
  template <class T>
  const T* get() const noexcept {
    return std::get_if<T>(&kind_);
  }
  const Text* text() const noexcept {
    const TextPtr* text = get<TextPtr>();
    return text != nullptr ? text->get() : nullptr;
  }
  List* list() const noexcept { return pointer<List>(); }
  Dict* dict() const noexcept { return pointer<Dict>(); }
  Object* object() const noexcept { return pointer<Object>(); }
  bool is_undefined() const noexcept { return get<Undefined>() != nullptr; }
  bool is_none() const noexcept { return get<None>() != nullptr; }
  bool is_number() const noexcept { return as_integer().has_value() || get<double>() != nullptr; }

  /// An int, or a bool as 0 and 1.
  std::optional<std::int64_t> as_integer() const noexcept;
  std::optional<double> as_double() const noexcept;

 private:
  template <class T>
  T* pointer() const noexcept {
    T* const* found = get<T*>();
    return found != nullptr ? *found : nullptr;
  }

  std::variant<Undefined, None, bool, std::int64_t, double, TextPtr, List*, Dict*, Object*> kind_;
};

/// The arguments of a call, evaluated.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// A list, or a tuple.
struct List final : Object {
  std::string_view type_name() const override { return is_tuple ? "tuple" : "list"; }
  void push(Budget& budget, Value value) {
    budget.hold(sizeof(Value));
    items.push_back(std::move(value));
  }

  std::vector<Value> items;
  bool is_tuple = false;
};

/// In the order of insertion. Found by looking at every key, which the callers count as steps: the dicts of
/// templates are small.
struct Dict final : Object {
  std::string_view type_name() const override { return "dict"; }
  const Value* find(Budget& budget, const Value& key) const;
  const Value* find(Budget& budget, std::string_view key) const;
  void set(Budget& budget, const Value& key, Value value);

  std::vector<std::pair<Value, Value>> items;
};

/// What {% set ns.name = … %} assigns to.
struct Namespace final : Object {
  std::string_view type_name() const override { return "Namespace"; }
  std::optional<Value> attribute(Rendering& in, std::string_view name) override;

  Dict* attributes = nullptr;
};

std::int64_t as_count(std::size_t size);

bool is_true(const Value& value);
bool is_callable(const Value& value);

/// As Python's type(value).__name__.
std::string_view type_name(const Value& value);
/// As Jinja speaks of it: "dict object", "None".
std::string described(const Value& value);

/// Python's ==.
bool equal(Budget& budget, const Value& a, const Value& b);
/// Python's <. Throws where the two have no order.
bool less(Budget& budget, const Value& a, const Value& b);

/// str(value).
TextPtr to_text(Budget& budget, const Value& value);
void append_text(TextBuilder& out, Budget& budget, const Value& value);
/// repr(value).
void append_repr(TextBuilder& out, Budget& budget, const Value& value);
/// repr() of a float: the shortest digits that read back as the same number.
std::string float_text(double number);

}  // namespace troupe::jinja
