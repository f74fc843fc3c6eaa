#pragma once
// The state of one rendering: what names mean, what was made, what is written.

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "template/value.hpp"

namespace troupe::jinja {

/// A name of a template, numbered while it is parsed.
using Symbol = std::uint32_t;

/// The names that one part of a template has set. Loops, macros and set blocks have scopes of their own, if
/// does not.
struct Scope final : Object {
  std::string_view type_name() const override { return "scope"; }

  Scope* parent = nullptr;
  std::vector<std::pair<Symbol, Value>> names;
  bool is_kept = false;  ///< a macro refers to it
};

/// Used by one thread, for one template and one set of variables.
class Rendering {
 public:
  Rendering(const ChatTemplateLimits& limits, std::chrono::local_seconds now) : budget(limits), now_(now) {}

  Budget budget;

  /// Makes an object that lives until the end of the rendering.
  template <class T>
  T& make() {
    budget.hold(sizeof(T) + 32);  // and what the heap and objects_ need for it
    auto object = std::make_unique<T>();
    T& made = *object;
    objects_.push_back(std::move(object));
    return made;
  }

  List& make_list() { return make<List>(); }
  List& make_tuple(Value first, Value second);
  Value make_text(std::string_view bytes, Origin origin = Origin::literal);

  // Names.

  Scope& scope() { return *scope_; }
  const Value* lookup(Symbol symbol);  ///< null when nothing is known by that name
  void set(Symbol symbol, Value value);

  /// A scope inside `parent` for as long as it lives, and the state before it afterwards.
  class Inside {
   public:
    Inside(Rendering& in, Scope* parent);
    ~Inside();
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    /// Forgets the names that were set in it.
    void renew();

   private:
    Rendering& in_;
    Scope* before_;
    Scope* parent_;
  };

  // Output.

  TextBuilder& out() { return *out_; }

  /// What is written goes to `builder` for as long as it lives.
  class Capture {
   public:
    Capture(Rendering& in, TextBuilder& builder) : in_(in), before_(in.out_) { in.out_ = &builder; }
    ~Capture() { in_.out_ = before_; }
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

   private:
    Rendering& in_;
    TextBuilder* before_;
  };

  std::chrono::local_seconds now() const { return now_; }

 private:
  Scope* take_scope(Scope* parent);
  void give_back(Scope* scope);

  std::deque<std::unique_ptr<Object>> objects_;
  std::vector<Scope*> spare_scopes_;
  Scope* scope_ = nullptr;
  TextBuilder* out_ = nullptr;
  std::chrono::local_seconds now_;
};

// What expressions do with values; operators.cpp and access.cpp.

enum class Operator : std::uint8_t { add, subtract, multiply, divide, floor_divide, modulo, power };
Value calculate(Rendering& in, Operator op, const Value& a, const Value& b);
Value negated(Rendering& in, const Value& value);
/// `item` in `container`.
bool contains(Rendering& in, const Value& container, const Value& item);
/// "…" % value.
Value format_percent(Rendering& in, const Text& format, const Value& value);

/// object.name: methods come before the keys of a dict.
Value attribute_of(Rendering& in, const Value& object, std::string_view name);
/// object[key]: the keys of a dict come before methods.
Value item_of(Rendering& in, const Value& object, const Value& key);
/// object[begin:end:step]; what is not given is none.
Value slice_of(Rendering& in, const Value& object, const Value& begin, const Value& end, const Value& step);
/// What a loop over `value` goes through. `what` is named in the error when it is nothing to loop over.
List& iterate(Rendering& in, const Value& value);
Value call_value(Rendering& in, const Value& callee, const Arguments& arguments);
/// An int argument; throws, naming `what`.
std::int64_t integer_of(Rendering& in, const Value& value, std::string_view what);
[[noreturn]] void fail_undefined(Rendering& in, const Undefined& undefined);

}  // namespace troupe::jinja
