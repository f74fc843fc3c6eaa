// str() and repr() of values, as Python prints them.

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/utf8.hpp"
#include "template/unicode.hpp"
#include "template/value.hpp"

namespace troupe::jinja {
namespace {

void append_escaped(std::string& out, std::string_view bytes, char32_t code, char quote) {
  const auto escape = [&out](const char* format, unsigned number) {
    char escaped[12];
    out.append(escaped, static_cast<std::size_t>(std::snprintf(escaped, sizeof escaped, format, number)));
  };
  if (code == static_cast<unsigned char>(quote) || code == '\\') {
    out += '\\';
    out += static_cast<char>(code);
  } else if (code == '\n') {
    out += "\\n";
  } else if (code == '\r') {
    out += "\\r";
  } else if (code == '\t') {
    out += "\\t";
  } else if (is_printable(code)) {
    out += bytes;
  } else if (code <= 0xFF) {
    escape("\\x%02x", code);
  } else if (code <= 0xFFFF) {
    escape("\\u%04x", code);
  } else {
    escape("\\U%08x", code);
  }
}

std::string escaped(std::string_view text, char quote) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (step.valid) {
      append_escaped(out, text.substr(0, step.bytes), step.code, quote);
    } else {
      out += text.substr(0, step.bytes);
    }
    text.remove_prefix(step.bytes);
  }
  return out;
}

void append_quoted(TextBuilder& out, Budget& budget, const Text& text) {
  const std::string_view bytes = text.bytes();
  budget.walk(bytes.size());
  const bool has_single = bytes.find('\'') != std::string_view::npos;
  const char quote = has_single && bytes.find('"') == std::string_view::npos ? '"' : '\'';
  out.append({&quote, 1}, Origin::literal);
  std::size_t begin = 0;
  for (const Run& run : text.runs()) {
    out.append(escaped(bytes.substr(begin, run.end - begin), quote), run.origin);
    begin = run.end;
  }
  out.append({&quote, 1}, Origin::literal);
}

void append_list(TextBuilder& out, Budget& budget, const List& list) {
  out.append(list.is_tuple ? "(" : "[", Origin::literal);
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(", ", Origin::literal);
    append_repr(out, budget, list.items[i]);
  }
  if (list.is_tuple && list.items.size() == 1) out.append(",", Origin::literal);
  out.append(list.is_tuple ? ")" : "]", Origin::literal);
}

void append_dict(TextBuilder& out, Budget& budget, const Dict& dict) {
  out.append("{", Origin::literal);
  for (std::size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out.append(", ", Origin::literal);
    append_repr(out, budget, dict.items[i].first);
    out.append(": ", Origin::literal);
    append_repr(out, budget, dict.items[i].second);
  }
  out.append("}", Origin::literal);
}

}  // namespace

std::string float_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, number, std::chars_format::scientific).ptr;
  const std::string_view shortest(digits, static_cast<std::size_t>(end - digits));
  const std::size_t e = shortest.find('e');
  const int exponent = std::atoi(std::string(shortest.substr(e + 1)).c_str());
  if (exponent < -4 || exponent >= 16)
    return std::string(shortest);  // both write at least two exponent digits
  const auto fixed = std::to_chars(digits, digits + sizeof digits, number, std::chars_format::fixed).ptr;
  std::string text(digits, fixed);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

void append_repr(TextBuilder& out, Budget& budget, const Value& value) {
  budget.step();
  const Budget::Level level(budget);
  if (const Text* text = value.text()) return append_quoted(out, budget, *text);
  if (const List* list = value.list()) return append_list(out, budget, *list);
  if (const Dict* dict = value.dict()) return append_dict(out, budget, *dict);
  if (value.is_undefined()) return out.append("Undefined", Origin::literal);
  append_text(out, budget, value);
}

void append_text(TextBuilder& out, Budget& budget, const Value& value) {
  if (const Text* text = value.text()) return out.append(*text);
  if (value.is_undefined()) return;
  if (value.is_none()) return out.append("None", Origin::literal);
  if (const auto* truth = value.get<bool>()) return out.append(*truth ? "True" : "False", Origin::literal);
  if (const auto* number = value.get<std::int64_t>()) {
    return out.append(std::to_string(*number), Origin::literal);
  }
  if (const auto* number = value.get<double>()) return out.append(float_text(*number), Origin::literal);
  if (value.list() != nullptr || value.dict() != nullptr) return append_repr(out, budget, value);
  if (const auto* names = dynamic_cast<const Namespace*>(value.object())) {
    out.append("<Namespace ", Origin::literal);
    append_repr(out, budget, names->attributes);
    return out.append(">", Origin::literal);
  }
  out.append("<", Origin::literal);
  out.append(type_name(value), Origin::literal);
  out.append(">", Origin::literal);
}

TextPtr to_text(Budget& budget, const Value& value) {
  if (const TextPtr* text = value.get<TextPtr>()) return *text;
  TextBuilder builder(budget);
  append_text(builder, budget, value);
  return builder.finish();
}

}  // namespace troupe::jinja
