// What filters and methods of str share.

#include <algorithm>

#include "base/utf8.hpp"
#include "template/builtin.hpp"
#include "template/search.hpp"
#include "template/unicode.hpp"

namespace troupe::jinja {
namespace {

bool holds_character(std::string_view characters, std::string_view character) {
  for (std::size_t at = 0; at < characters.size();) {
    const std::size_t bytes = utf8_step(characters.substr(at)).bytes;
    if (characters.substr(at, bytes) == character) return true;
    at += bytes;
  }
  return false;
}

}  // namespace

Value stripped(Rendering& in, const Text& text, const Text* characters, bool left, bool right) {
  const std::string_view bytes = text.bytes();
  in.budget.walk(bytes.size());
  std::size_t begin = 0;
  std::size_t end = bytes.size();
  if (characters == nullptr) {
    if (left) begin = leading_space_bytes(bytes);
    if (right) end -= trailing_space_bytes(bytes.substr(begin));
    return part_of(in.budget, text, begin, end);
  }
  const auto is_wanted = [&](std::size_t at, std::size_t size) {
    in.budget.step(1 + characters->bytes().size() / 8);
    return holds_character(characters->bytes(), bytes.substr(at, size));
  };
  while (left && begin < end) {
    const std::size_t size = utf8_step(bytes.substr(begin)).bytes;
    if (!is_wanted(begin, size)) break;
    begin += size;
  }
  while (right && begin < end) {
    std::size_t size = 1;
    while (size < 4 && begin + size < end && (static_cast<unsigned char>(bytes[end - size]) & 0xC0U) == 0x80U)
      ++size;
    if (!is_wanted(end - size, size)) break;
    end -= size;
  }
  return part_of(in.budget, text, begin, end);
}

Value replaced(Rendering& in, const Text& text, const Text& old, const Text& fresh, std::int64_t count_max) {
  const std::string_view bytes = text.bytes();
  TextBuilder builder(in.budget);
  std::size_t done = 0;
  if (old.empty()) {  // between all characters, and at both ends
    for (std::int64_t count = 0; count_max < 0 || count < count_max; ++count) {
      in.budget.step();
      builder.append(fresh);
      if (done == bytes.size()) return builder.finish();
      const std::size_t next = done + utf8_step(bytes.substr(done)).bytes;
      builder.append(text, done, next);
      done = next;
    }
  }
  for (std::int64_t count = 0; !old.empty() && (count_max < 0 || count < count_max); ++count) {
    in.budget.step();
    const std::size_t found = find_first(in.budget, bytes, old.bytes(), done);
    if (found == not_found) break;
    builder.append(text, done, found);
    builder.append(fresh);
    done = found + old.bytes().size();
  }
  builder.append(text, done, bytes.size());
  return builder.finish();
}

Value capitalized(Rendering& in, const Text& text) {
  bool is_first = true;
  return map_runs(in.budget, text, [&](std::string_view run) {
    if (!is_first) return lower(run);
    is_first = false;
    const std::size_t first = utf8_step(run).bytes;
    bool in_word = false;
    return title(run.substr(0, first), in_word) + lower(run.substr(first));
  });
}

Value padded(Rendering& in, const Text& text, std::int64_t left, std::int64_t right, std::string_view fill) {
  TextBuilder builder(in.budget);
  in.budget.check_repeated(fill.size(), std::max(left, right));
  const auto pad = [&](std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      in.budget.step();
      builder.append(fill, Origin::literal);
    }
  };
  pad(left);
  builder.append(text);
  pad(right);
  return builder.finish();
}

Value centered(Call& call, const Text& text, std::int64_t width, std::string_view fill) {
  const std::int64_t room = std::max<std::int64_t>(0, width - as_count(text.characters()));
  // Python puts the odd one to the left when the width is odd.
  const std::int64_t left = room / 2 + (room & width & 1);
  return padded(call.in, text, left, room - left, fill);
}

List& split_lines(Rendering& in, const Text& text, bool keep_ends) {
  const std::string_view bytes = text.bytes();
  List& lines = in.make_list();
  std::size_t begin = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Step step = utf8_step(bytes.substr(at));
    std::size_t next = at + step.bytes;
    if (step.valid && ends_line(step.code)) {
      in.budget.step();
      if (step.code == '\r' && next < bytes.size() && bytes[next] == '\n') ++next;
      lines.push(in.budget, part_of(in.budget, text, begin, keep_ends ? next : at));
      begin = next;
    }
    at = next;
  }
  in.budget.walk(bytes.size());
  if (begin < bytes.size()) lines.push(in.budget, part_of(in.budget, text, begin, bytes.size()));
  return lines;
}

Value joined_items(Rendering& in, const Text& separator, const List& list) {
  TextBuilder builder(in.budget);
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    in.budget.step();
    if (i > 0) builder.append(separator);
    append_text(builder, in.budget, list.items[i]);
  }
  return builder.finish();
}

void sort_values(Rendering& in, std::vector<std::pair<Value, Value>>& keyed, bool reverse) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? less(in.budget, b.first, a.first) : less(in.budget, a.first, b.first);
  });
}

}  // namespace troupe::jinja
