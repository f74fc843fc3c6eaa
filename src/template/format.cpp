// "%s" % x and "{}".format(x), as far as templates go: strings, whole numbers, decimals, widths.

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/utf8.hpp"
#include "template/builtin.hpp"
#include "template/unicode.hpp"

namespace troupe::jinja {
namespace {

constexpr std::int64_t width_max = 1000;
constexpr int precision_max = 100;

/// [fill][align][sign][0][width][.precision][type] of Python's format(), and what '%' has of it.
struct Spec {
  std::string fill = " ";
  char align = 0;  // '<', '>', '^'; 0: by type
  bool plus = false;
  bool commas = false;
  std::int64_t width = 0;
  int precision = -1;
  char type = 0;
};

/// Reads a number of at most a few digits at `at`.
std::int64_t take_number(Rendering& in, std::string_view text, std::size_t& at) {
  std::int64_t number = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    number = number * 10 + (text[at++] - '0');
    if (number > width_max) in.budget.fail("a width of a format is over " + std::to_string(width_max));
  }
  return number;
}

std::string with_commas(std::string digits) {
  std::size_t end = digits.find_first_not_of("-+0123456789");
  if (end == std::string::npos) end = digits.size();
  const std::size_t begin = digits.find_first_of("0123456789");
  for (std::size_t at = end; at > begin + 3; at -= 3)
    digits.insert(digits.begin() + static_cast<std::ptrdiff_t>(at - 3), ',');
  return digits;
}

std::string decimal(Rendering& in, const Value& value, const Spec& spec) {
  const auto number = value.as_double();
  if (!number) in.budget.fail("a format wants a number, not " + std::string(type_name(value)));
  if (spec.precision > precision_max)
    in.budget.fail("a precision of a format is over " + std::to_string(precision_max));
  const std::string format = std::string("%.*") + (spec.type == '%' ? 'f' : spec.type);
  char digits[512];
  const double shown = spec.type == '%' ? *number * 100 : *number;
  const int bytes =
      std::snprintf(digits, sizeof digits, format.c_str(), spec.precision < 0 ? 6 : spec.precision, shown);
  return std::string(digits, static_cast<std::size_t>(bytes)) + (spec.type == '%' ? "%" : "");
}

std::string whole(Rendering& in, const Value& value, const Spec& spec) {
  auto number = value.as_integer();
  if (!number && value.as_double() && std::fabs(*value.as_double()) < 9e18) {
    number = static_cast<std::int64_t>(*value.as_double());
  }
  if (!number) in.budget.fail("a format wants an int, not " + std::string(type_name(value)));
  if (spec.type != 'x' && spec.type != 'X' && spec.type != 'o') return std::to_string(*number);
  const std::string format = std::string("%ll") + spec.type;
  char digits[32];
  const std::uint64_t magnitude =
      *number < 0 ? 0 - static_cast<std::uint64_t>(*number) : static_cast<std::uint64_t>(*number);
  const int bytes =
      std::snprintf(digits, sizeof digits, format.c_str(), static_cast<unsigned long long>(magnitude));
  std::string text(*number < 0 ? 1 : 0, '-');
  text.append(digits, static_cast<std::size_t>(bytes));
  return text;
}

void append_formatted(TextBuilder& out, Rendering& in, const Value& value, const Spec& spec) {
  TextBuilder body(in.budget);
  const bool is_whole =
      spec.type == 'd' || spec.type == 'i' || spec.type == 'x' || spec.type == 'X' || spec.type == 'o';
  const bool is_decimal =
      spec.type != 0 && std::string_view("fFeEgG%").find(spec.type) != std::string_view::npos;
  if (is_whole || is_decimal) {
    std::string digits = is_whole ? whole(in, value, spec) : decimal(in, value, spec);
    if (spec.plus && !digits.starts_with('-')) digits.insert(digits.begin(), '+');
    body.append(spec.commas ? with_commas(std::move(digits)) : digits, Origin::literal);
  } else if (spec.commas && value.as_integer()) {
    body.append(with_commas(std::to_string(*value.as_integer())), Origin::literal);
  } else if (spec.type == 'r') {
    append_repr(body, in.budget, value);
  } else {
    append_text(body, in.budget, value);
  }
  TextPtr text = body.finish();
  if (spec.precision >= 0 && !is_decimal && !is_whole) {
    text = part_of(in.budget, *text, 0, text->byte_of(static_cast<std::size_t>(spec.precision)));
  }
  const std::int64_t room = std::max<std::int64_t>(0, spec.width - as_count(text->characters()));
  const bool is_number = is_whole || is_decimal || (spec.type == 0 && value.is_number());
  const char align = spec.align != 0 ? spec.align : is_number ? '>' : '<';
  const std::int64_t left = align == '>' ? room : align == '^' ? room / 2 : 0;
  // Zeros go between the sign and the digits.
  const bool splits = align == '>' && spec.fill == "0" && is_number && !text->empty() &&
                      (text->bytes().front() == '-' || text->bytes().front() == '+');
  if (splits) out.append(*text, 0, 1);
  const auto pad = [&](std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) out.append(spec.fill, Origin::literal);
  };
  pad(left);
  out.append(*text, splits ? 1 : 0, text->bytes().size());
  pad(room - left);
}

Spec spec_of_braces(Rendering& in, std::string_view text) {
  Spec spec;
  std::size_t at = 0;
  const auto is_align = [&](std::size_t i) {
    return i < text.size() && (text[i] == '<' || text[i] == '>' || text[i] == '^');
  };
  const std::size_t first = text.empty() ? 0 : utf8_step(text).bytes;
  if (is_align(first)) {
    spec.fill = text.substr(0, first);
    at = first;
  }
  if (is_align(at)) spec.align = text[at++];
  if (at < text.size() && text[at] == '+') spec.plus = text[at++] == '+';
  if (at < text.size() && text[at] == '0' && spec.align == 0) {
    spec.fill.assign(1, '0');
    spec.align = '>';
  }
  spec.width = take_number(in, text, at);
  if (at < text.size() && text[at] == ',') spec.commas = text[at++] == ',';
  if (at < text.size() && text[at] == '.') spec.precision = static_cast<int>(take_number(in, text, ++at));
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size() ||
      (spec.type != 0 && std::string_view("dsfFeEgGxXo%").find(spec.type) == std::string_view::npos)) {
    in.budget.fail("the format " + in_quotes(text, 40) + " is not supported");
  }
  return spec;
}

/// The value that a field like "0", "name", "name.part" or "name[0]" names.
Value value_of_field(Rendering& in, std::string_view field, const Arguments& arguments, std::size_t& next) {
  const std::size_t end = std::min(field.find_first_of(".["), field.size());
  const std::string_view name = field.substr(0, end);
  const bool is_number = name.find_first_not_of("0123456789") == std::string_view::npos && name.size() < 10;
  Value value;
  if (is_number) {
    const std::size_t index = name.empty() ? next++ : std::stoul(std::string(name));
    if (index >= arguments.positional.size()) in.budget.fail("'format' has too few arguments");
    value = arguments.positional[index];
  } else {
    const auto found = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& item) { return item.first == name; });
    if (found == arguments.named.end()) in.budget.fail("'format' has no argument " + in_quotes(name));
    value = found->second;
  }
  for (std::string_view rest = field.substr(end); !rest.empty();) {
    in.budget.step();
    const bool is_item = rest.front() == '[';
    const std::size_t stop = is_item ? rest.find(']') : std::min(rest.find_first_of(".[", 1), rest.size());
    if (stop == std::string_view::npos) in.budget.fail("a '[' of a format is not closed");
    const Value part = in.make_text(rest.substr(1, stop - 1));
    value = is_item ? attribute_path(in, value, part) : attribute_of(in, value, part.text()->bytes());
    rest.remove_prefix(std::min(rest.size(), stop + (is_item ? 1 : 0)));
  }
  return value;
}

}  // namespace

Value format_braces(Rendering& in, const Text& format, const Arguments& arguments) {
  const std::string_view text = format.bytes();
  TextBuilder out(in.budget);
  std::size_t next = 0;
  for (std::size_t at = 0; at < text.size();) {
    in.budget.step();
    const std::size_t brace = std::min(text.find_first_of("{}", at), text.size());
    out.append(format, at, brace);
    if (brace == text.size()) break;
    if (brace + 1 < text.size() && text[brace + 1] == text[brace]) {
      out.append(format, brace, brace + 1);
      at = brace + 2;
      continue;
    }
    const std::size_t close = text.find('}', brace);
    if (text[brace] == '}' || close == std::string_view::npos)
      in.budget.fail("'format' finds a single brace");
    std::string_view field = text.substr(brace + 1, close - brace - 1);
    const std::size_t colon = field.find(':');
    Spec spec =
        spec_of_braces(in, colon == std::string_view::npos ? std::string_view() : field.substr(colon + 1));
    field = field.substr(0, colon);
    if (field.size() >= 2 && field[field.size() - 2] == '!') {
      if (field.back() == 'r') spec.type = 'r';
      field.remove_suffix(2);
    }
    append_formatted(out, in, value_of_field(in, field, arguments, next), spec);
    at = close + 1;
  }
  return out.finish();
}

Value format_percent(Rendering& in, const Text& format, const Value& value) {
  const std::string_view text = format.bytes();
  const List* values = value.list() != nullptr && value.list()->is_tuple ? value.list() : nullptr;
  TextBuilder out(in.budget);
  std::size_t used = 0;
  for (std::size_t at = 0; at < text.size();) {
    in.budget.step();
    const std::size_t percent = std::min(text.find('%', at), text.size());
    out.append(format, at, percent);
    if (percent == text.size()) break;
    at = percent + 1;
    if (at < text.size() && text[at] == '%') {
      out.append(format, at, at + 1);
      ++at;
      continue;
    }
    const Value* wanted = nullptr;
    if (at < text.size() && text[at] == '(') {
      const std::size_t close = text.find(')', at);
      if (close == std::string_view::npos || value.dict() == nullptr)
        in.budget.fail("a format with names needs a dict");
      wanted = value.dict()->find(in.budget, text.substr(at + 1, close - at - 1));
      if (wanted == nullptr) in.budget.fail("a format names a key that the dict does not have");
      at = close + 1;
    }
    Spec spec;
    spec.align = '>';
    for (; at < text.size() && (text[at] == '-' || text[at] == '0' || text[at] == '+'); ++at) {
      if (text[at] == '-') spec.align = '<';
      if (text[at] == '0') spec.fill.assign(1, '0');
      if (text[at] == '+') spec.plus = true;
    }
    spec.width = take_number(in, text, at);
    if (at < text.size() && text[at] == '.') spec.precision = static_cast<int>(take_number(in, text, ++at));
    if (at == text.size() || std::string_view("sdirxXofFeEgG").find(text[at]) == std::string_view::npos) {
      in.budget.fail("the format " + in_quotes(text.substr(percent, at + 1 - percent), 40) +
                     " is not supported");
    }
    spec.type = text[at++];
    if (wanted == nullptr) {
      if (used == (values != nullptr ? values->items.size() : 1))
        in.budget.fail("there are too few values for a format");
      wanted = values != nullptr ? &values->items[used] : &value;
      ++used;
    }
    append_formatted(out, in, *wanted, spec);
  }
  if (used < (values != nullptr ? values->items.size() : 0) ||
      (values == nullptr && used == 0 && value.dict() == nullptr)) {
    in.budget.fail("there are values that a format does not use");
  }
  return out.finish();
}

}  // namespace troupe::jinja
