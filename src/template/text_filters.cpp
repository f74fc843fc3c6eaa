// Filters of text. tojson is Hugging Face's, which writes what json.dumps() does; Jinja's own is for web
// pages.

#include <algorithm>

#include "base/utf8.hpp"
#include "template/builtin.hpp"
#include "template/search.hpp"
#include "template/to_json.hpp"
#include "template/unicode.hpp"

namespace troupe::jinja {
namespace {

TextPtr input_text(const Call& call, const Value& self) {
  return to_text(call.budget, self);
}

/// A text, for filters that do not turn others into one.
const Text& need_text(const Call& call, const Value& self) {
  if (const Text* text = self.text()) return *text;
  if (const auto* undefined = self.get<Undefined>()) fail_undefined(call.in, *undefined);
  call.fail("needs a str, not " + std::string(type_name(self)));
}

Value upper_case(Call& call, const Value& self) {
  return map_runs(call.budget, *input_text(call, self), upper);
}

Value lower_case(Call& call, const Value& self) {
  return map_runs(call.budget, *input_text(call, self), lower);
}

Value capitalize(Call& call, const Value& self) {
  return capitalized(call.in, *input_text(call, self));
}

/// Not str.title(): words begin behind blanks, dashes and opening brackets, and "they're" is one.
Value title_case(Call& call, const Value& self) {
  bool word_begins = true;
  return map_runs(call.budget, *input_text(call, self), [&](std::string_view run) {
    std::string out;
    for (std::size_t at = 0; at < run.size();) {
      const Utf8Step step = utf8_step(run.substr(at));
      const std::string_view character = run.substr(at, step.bytes);
      const bool separates = step.valid && (is_space(step.code) || step.code == '-' || step.code == '(' ||
                                            step.code == '{' || step.code == '[' || step.code == '<');
      out += word_begins ? upper(character) : lower(character);
      word_begins = separates;
      at += step.bytes;
    }
    return out;
  });
}

Value trim(Call& call, const Value& self) {
  const TextPtr characters = call.lacks(0) ? nullptr : call.text(0);
  return stripped(call.in, *input_text(call, self), characters.get(), true, true);
}

Value replace(Call& call, const Value& self) {
  return replaced(call.in, *input_text(call, self), *call.text(0), *call.text(1), call.integer(2, -1));
}

Value as_string(Call& call, const Value& self) {
  return input_text(call, self);
}

Value escape(Call& call, const Value& self) {
  return map_runs(call.budget, *input_text(call, self), [](std::string_view run) {
    std::string out;
    for (const char c : run) {
      switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&#34;"; break;
        case '\'': out += "&#39;"; break;
        default: out += c;
      }
    }
    return out;
  });
}

Value center(Call& call, const Value& self) {
  return centered(call, *input_text(call, self), call.integer(0, 80), " ");
}

Value indent(Call& call, const Value& self) {
  TextPtr indention;
  if (call.has(0) && call.at(0)->text() != nullptr) {
    indention = call.text(0);
  } else {
    const std::int64_t width = std::max<std::int64_t>(0, call.integer(0, 4));
    indention = *padded(call.in, *literal_text(""), width, 0, " ").get<TextPtr>();
  }
  TextBuilder with_end(call.budget);
  with_end.append(need_text(call, self));
  with_end.append("\n", Origin::literal);
  const List& lines = split_lines(call.in, *with_end.finish());
  const bool first = call.truth(1, false);
  const bool blank = call.truth(2, false);
  TextBuilder out(call.budget);
  for (std::size_t i = 0; i < lines.items.size(); ++i) {
    const Text& line = *lines.items[i].text();
    if (i > 0) out.append("\n", Origin::literal);
    if (i == 0 ? first : blank || !line.empty()) out.append(*indention);
    out.append(line);
  }
  return out.finish();
}

Value format(Call& call, const Value& self) {
  const TextPtr text = input_text(call, self);
  if (!call.arguments.named.empty()) {
    if (!call.arguments.positional.empty()) call.fail("takes either values or names with values");
    auto& dict = call.in.make<Dict>();
    for (const auto& [name, value] : call.arguments.named) {
      dict.set(call.budget, call.in.make_text(name), value);
    }
    return format_percent(call.in, *text, &dict);
  }
  List& values = call.in.make_list();
  values.is_tuple = true;
  for (const Value& value : call.arguments.positional) values.push(call.budget, value);
  return format_percent(call.in, *text, &values);
}

Value truncate(Call& call, const Value& self) {
  const Text& text = need_text(call, self);
  const std::int64_t length = call.integer(0, 255);
  const TextPtr end = call.has(2) ? call.text(2) : literal_text("...");
  const std::int64_t kept = length - as_count(end->characters());
  const std::int64_t leeway = call.integer(3, 5);
  if (kept < 0 || leeway < 0) call.fail("cannot make a text shorter than its end");
  call.budget.walk(text.bytes().size());
  const std::int64_t characters = as_count(text.characters());
  if (characters <= length || characters - length <= leeway)
    return part_of(call.budget, text, 0, text.bytes().size());
  std::size_t cut = text.byte_of(static_cast<std::size_t>(kept));
  if (!call.truth(1, false)) {
    const std::size_t space = find_last(call.budget, text.bytes().substr(0, cut), " ");
    if (space != not_found) cut = space;
  }
  TextBuilder out(call.budget);
  out.append(text, 0, cut);
  out.append(*end);
  return out.finish();
}

Value wordcount(Call& call, const Value& self) {
  const TextPtr text = input_text(call, self);
  std::int64_t words = 0;
  bool in_word = false;
  std::string_view rest = text->bytes();
  call.budget.walk(rest.size());
  while (!rest.empty()) {
    const Utf8Step step = utf8_step(rest);
    const bool is_part = step.valid && (is_letter(step.code) || is_digit(step.code) || step.code == '_');
    if (is_part && !in_word) ++words;
    in_word = is_part;
    rest.remove_prefix(step.bytes);
  }
  return words;
}

Value to_json(Call& call, const Value& self) {
  JsonStyle style;
  style.ascii_only = call.truth(0, false);
  if (!call.lacks(1)) {
    const Text* indent = call.at(1)->text();
    const auto blanks = std::clamp<std::int64_t>(indent == nullptr ? call.integer(1, 0) : 0, 0, 1000);
    style.indent =
        indent != nullptr ? std::string(indent->bytes()) : std::string(static_cast<std::size_t>(blanks), ' ');
    style.item_separator.assign(1, ',');
  }
  if (!call.lacks(2)) {
    const List& separators = iterate(call.in, *call.at(2));
    if (separators.items.size() != 2 || separators.items[0].text() == nullptr ||
        separators.items[1].text() == nullptr) {
      call.fail("needs two strings as separators");
    }
    style.item_separator = separators.items[0].text()->bytes();
    style.key_separator = separators.items[1].text()->bytes();
  }
  style.sort_keys = call.truth(3, false);
  TextBuilder out(call.budget);
  append_json(out, call.in, self, style);
  return out.finish();
}

constexpr Builtin filters[] = {
    {"capitalize", "", 0, capitalize},
    {"center", "width", 0, center},
    {"e", "", 0, escape},
    {"escape", "", 0, escape},
    {"forceescape", "", 0, escape},
    {"format", "*", 0, format},
    {"indent", "width first blank", 0, indent},
    {"lower", "", 0, lower_case},
    {"replace", "old new count", 2, replace},
    {"safe", "", 0, as_string},
    {"string", "", 0, as_string},
    {"title", "", 0, title_case},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, to_json},
    {"trim", "chars", 0, trim},
    {"truncate", "length killwords end leeway", 0, truncate},
    {"upper", "", 0, upper_case},
    {"wordcount", "", 0, wordcount},
};

}  // namespace

const Builtin* find_text_filter(std::string_view name) {
  return find_row(filters, name);
}

}  // namespace troupe::jinja
