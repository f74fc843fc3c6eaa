#include "template/text.hpp"

#include <algorithm>
#include <utility>

#include "template/unicode.hpp"

namespace troupe::jinja {

Text::Text(std::string bytes, std::vector<Run> runs, Budget* budget)
    : bytes_(std::move(bytes)), runs_(std::move(runs)), ascii_(is_ascii(bytes_)), budget_(budget) {}

Text::~Text() {
  if (budget_ != nullptr) budget_->release(memory_bytes());
}

std::size_t Text::memory_bytes() const noexcept {
  return sizeof(Text) + bytes_.capacity() + runs_.capacity() * sizeof(Run);
}

std::size_t Text::characters() const noexcept {
  return ascii_ ? bytes_.size() : count_characters(bytes_);
}

std::size_t Text::byte_of(std::size_t character) const noexcept {
  return ascii_ ? std::min(character, bytes_.size()) : byte_of_character(bytes_, character);
}

TextPtr literal_text(std::string bytes) {
  std::vector<Run> runs;
  if (!bytes.empty()) runs.push_back({bytes.size(), Origin::literal});
  return std::make_shared<const Text>(std::move(bytes), std::move(runs), nullptr);
}

void TextBuilder::append(std::string_view bytes, Origin origin) {
  if (bytes.empty()) return;
  // The runs count too: a text whose origin changed with every byte would be mostly runs.
  budget_.check_text(bytes_.size() + bytes.size() + runs_.size() * sizeof(Run));
  budget_.step();
  budget_.work(bytes.size());
  bytes_ += bytes;
  if (!runs_.empty() && runs_.back().origin == origin) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), origin});
  }
}

void TextBuilder::append(const Text& text, std::size_t begin, std::size_t end) {
  const auto& runs = text.runs();
  auto run = std::upper_bound(runs.begin(), runs.end(), begin,
                              [](std::size_t at, const Run& r) { return at < r.end; });
  while (begin < end) {
    const std::size_t stop = std::min(end, run->end);
    append(text.bytes().substr(begin, stop - begin), run->origin);
    begin = stop;
    ++run;
  }
}

TextPtr TextBuilder::finish() {
  bytes_.shrink_to_fit();
  runs_.shrink_to_fit();
  const std::size_t memory = sizeof(Text) + bytes_.capacity() + runs_.capacity() * sizeof(Run);
  budget_.hold(memory);
  return std::make_shared<const Text>(std::exchange(bytes_, {}), std::exchange(runs_, {}), &budget_);
}

TextPtr part_of(Budget& budget, const Text& text, std::size_t begin, std::size_t end) {
  TextBuilder builder(budget);
  if (begin < end) builder.append(text, begin, end);
  return builder.finish();
}

}  // namespace troupe::jinja
