// Functions: those of Jinja, and raise_exception() and strftime_now() of Hugging Face.

#include <algorithm>
#include <ctime>

#include "base/utf8.hpp"
#include "template/builtin.hpp"

namespace troupe::jinja {
namespace {

constexpr std::int64_t range_max = 100'000;  // as in Jinja's sandbox

Value range(Call& call, const Value&) {
  const bool one = !call.has(1);
  const std::int64_t begin = one ? 0 : call.integer(0, 0);
  const std::int64_t end = call.integer(one ? 0 : 1, 0);
  const std::int64_t step = call.integer(2, 1);
  if (step == 0) call.fail("needs a step other than 0");
  List& numbers = call.in.make_list();
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (as_count(numbers.items.size()) == range_max) {
      call.fail("makes at most " + std::to_string(range_max) + " numbers");
    }
    call.budget.step();
    numbers.push(call.budget, i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return &numbers;
}

Value make_dict(Call& call, const Value&) {
  auto& dict = call.in.make<Dict>();
  fill_dict(call, dict);
  return &dict;
}

Value make_namespace(Call& call, const Value&) {
  auto& names = call.in.make<Namespace>();
  names.attributes = &call.in.make<Dict>();
  fill_dict(call, *names.attributes);
  for (const auto& item : names.attributes->items) {
    if (item.first.text() == nullptr) call.fail("needs names that are strings");
  }
  return static_cast<Object*>(&names);
}

Value raise_exception(Call& call, const Value&) {
  call.budget.fail("the template says: " + printable(call.text(0)->bytes(), 500));
}

/// Python's datetime.now().strftime(format).
Value strftime_now(Call& call, const Value&) {
  using namespace std::chrono;
  const local_seconds now = call.in.now();
  const local_days day = floor<days>(now);
  const year_month_day date(day);
  const hh_mm_ss time(now - day);
  std::tm parts{};
  parts.tm_year = static_cast<int>(date.year()) - 1900;
  parts.tm_mon = static_cast<int>(static_cast<unsigned>(date.month())) - 1;
  parts.tm_mday = static_cast<int>(static_cast<unsigned>(date.day()));
  parts.tm_hour = static_cast<int>(time.hours().count());
  parts.tm_min = static_cast<int>(time.minutes().count());
  parts.tm_sec = static_cast<int>(time.seconds().count());
  parts.tm_wday = static_cast<int>(weekday(day).c_encoding());
  parts.tm_yday = static_cast<int>((day - local_days(date.year() / January / 1)).count());
  const TextPtr format = call.text(0);
  if (format->bytes().size() > 200) call.fail("takes a format of at most 200 bytes");
  // Behind a blank, so that a length of 0 can only mean that the room is too small.
  char text[4096];
  const std::size_t bytes =
      std::strftime(text, sizeof text, std::string(1, ' ').append(format->bytes()).c_str(), &parts);
  if (bytes == 0) call.fail("makes too long a text");
  return call.in.make_text(std::string_view(text + 1, bytes - 1));
}

/// joiner(): nothing the first time it is called, then the separator.
struct Joiner final : Object {
  std::string_view type_name() const override { return "Joiner"; }
  bool callable() const override { return true; }
  Value call(Rendering& in, const Arguments&) override {
    return std::exchange(is_used, true) ? separator : in.make_text("");
  }

  Value separator;
  bool is_used = false;
};

Value make_joiner(Call& call, const Value&) {
  auto& joiner = call.in.make<Joiner>();
  joiner.separator = call.has(0) ? *call.at(0) : call.in.make_text(", ");
  return static_cast<Object*>(&joiner);
}

struct Cycler final : Object {
  std::string_view type_name() const override { return "Cycler"; }
  std::optional<Value> attribute(Rendering& in, std::string_view name) override;

  List* items = nullptr;
  std::size_t place = 0;
};

Value next_of_cycler(Call&, const Value& self) {
  auto& cycler = *static_cast<Cycler*>(self.object());
  const Value& item = cycler.items->items[cycler.place];
  cycler.place = (cycler.place + 1) % cycler.items->items.size();
  return item;
}

Value reset_cycler(Call&, const Value& self) {
  static_cast<Cycler*>(self.object())->place = 0;
  return None{};
}

constexpr Builtin cycler_methods[] = {{"next", "", 0, next_of_cycler}, {"reset", "", 0, reset_cycler}};

std::optional<Value> Cycler::attribute(Rendering& in, std::string_view name) {
  if (name == "current") return items->items[place];
  const Builtin* method = find_row(cycler_methods, name);
  if (method == nullptr) return std::nullopt;
  auto& bound = in.make<BoundBuiltin>();
  bound.builtin = method;
  bound.self = static_cast<Object*>(this);
  return Value(static_cast<Object*>(&bound));
}

Value make_cycler(Call& call, const Value&) {
  if (call.arguments.positional.empty()) call.fail("needs something to go through");
  auto& cycler = call.in.make<Cycler>();
  cycler.items = &call.in.make_list();
  for (const Value& item : call.arguments.positional) cycler.items->push(call.budget, item);
  return static_cast<Object*>(&cycler);
}

constexpr Builtin functions[] = {
    {"cycler", "*", 0, make_cycler},
    {"dict", "*", 0, make_dict},
    {"joiner", "sep", 0, make_joiner},
    {"namespace", "*", 0, make_namespace},
    {"raise_exception", "message", 1, raise_exception},
    {"range", "start stop step", 1, range},
    {"strftime_now", "format", 1, strftime_now},
};

}  // namespace

const Builtin* find_function(std::string_view name) {
  return find_row(functions, name);
}

}  // namespace troupe::jinja
