#include "template/to_json.hpp"

#include <cmath>
#include <cstdio>

#include "base/utf8.hpp"
#include "template/builtin.hpp"

namespace troupe::jinja {
namespace {

void append_escape(std::string& out, unsigned unit) {
  char escape[8];
  std::snprintf(escape, sizeof escape, "\\u%04x", unit & 0xFFFFU);
  out += escape;
}

std::string escaped(std::string_view text, bool ascii_only) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    const std::string_view character = text.substr(0, step.bytes);
    text.remove_prefix(step.bytes);
    switch (step.valid ? step.code : 0xFFFFFFFF) {
      case '"': out += "\\\""; continue;
      case '\\': out += "\\\\"; continue;
      case '\n': out += "\\n"; continue;
      case '\r': out += "\\r"; continue;
      case '\t': out += "\\t"; continue;
      case '\f': out += "\\f"; continue;
      case '\b': out += "\\b"; continue;
      default: break;
    }
    if (step.valid && step.code < 0x20) {
      append_escape(out, step.code);
    } else if (!step.valid || !ascii_only || step.code < 0x80) {
      out += character;
    } else if (step.code < 0x10000) {
      append_escape(out, step.code);
    } else {
      append_escape(out, 0xD800 + ((step.code - 0x10000) >> 10U));
      append_escape(out, 0xDC00 + ((step.code - 0x10000) & 0x3FFU));
    }
  }
  return out;
}

class JsonWriter {
 public:
  JsonWriter(TextBuilder& out, Rendering& in, const JsonStyle& style) : out_(out), in_(in), style_(style) {}

  void write(const Value& value) {
    in_.budget.step();
    const Budget::Level level(in_.budget);
    if (const Text* text = value.text()) return quoted(*text);
    if (const List* list = value.list()) return array(*list);
    if (const Dict* dict = value.dict()) return object(*dict);
    literal(scalar(value));
  }

 private:
  void literal(std::string_view bytes) { out_.append(bytes, Origin::literal); }

  void quoted(const Text& text) {
    literal("\"");
    in_.budget.walk(text.bytes().size());
    std::size_t begin = 0;
    for (const Run& run : text.runs()) {
      out_.append(escaped(text.bytes().substr(begin, run.end - begin), style_.ascii_only), run.origin);
      begin = run.end;
    }
    literal("\"");
  }

  std::string scalar(const Value& value) const {
    if (value.is_none()) return "null";
    if (const auto* truth = value.get<bool>()) return *truth ? "true" : "false";
    if (const auto* number = value.get<std::int64_t>()) return std::to_string(*number);
    if (const auto* number = value.get<double>()) {
      if (std::isnan(*number)) return "NaN";
      if (std::isinf(*number)) return *number < 0 ? "-Infinity" : "Infinity";
      return float_text(*number);
    }
    if (const auto* undefined = value.get<Undefined>(); undefined != nullptr && undefined->why) {
      in_.budget.fail("tojson: " + *undefined->why);
    }
    in_.budget.fail("tojson: " + std::string(type_name(value)) + " is no JSON");
  }

  void new_line() {
    if (!style_.indent) return;
    literal("\n");
    for (std::uint32_t i = 0; i < depth_; ++i) literal(*style_.indent);
  }

  template <class Items, class WriteItem>
  void items(const Items& all, const char* brackets, WriteItem write_item) {
    literal({brackets, 1});
    if (!all.empty()) {
      ++depth_;
      bool is_first = true;
      for (const auto& item : all) {
        if (!is_first) literal(style_.item_separator);
        is_first = false;
        new_line();
        write_item(item);
      }
      --depth_;
      new_line();
    }
    literal({brackets + 1, 1});
  }

  void array(const List& list) {
    items(list.items, "[]", [this](const Value& item) { write(item); });
  }

  void object(const Dict& dict) {
    const auto write_item = [this](const std::pair<Value, Value>& item) {
      if (const Text* key = item.first.text()) {
        quoted(*key);
      } else {
        if (item.first.list() != nullptr) in_.budget.fail("tojson: a key is no JSON");
        literal("\"");
        literal(scalar(item.first));
        literal("\"");
      }
      literal(style_.key_separator);
      write(item.second);
    };
    if (!style_.sort_keys) return items(dict.items, "{}", write_item);
    std::vector<std::pair<Value, Value>> sorted = dict.items;
    sort_values(in_, sorted, false);
    items(sorted, "{}", write_item);
  }

  TextBuilder& out_;
  Rendering& in_;
  const JsonStyle& style_;
  std::uint32_t depth_ = 0;
};

}  // namespace

void append_json(TextBuilder& out, Rendering& in, const Value& value, const JsonStyle& style) {
  JsonWriter(out, in, style).write(value);
}

}  // namespace troupe::jinja
