#pragma once
// Text that remembers where each byte of it comes from. Special tokens are parsed only out of what the
// template itself says: what comes from a message stays plain text through every filter and method.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "template/budget.hpp"

namespace troupe::jinja {

enum class Origin : std::uint8_t {
  input,    ///< a message, a tool, a variable
  literal,  ///< the template, and values that count as its own: bos_token, roles, numbers
};

/// A stretch of one origin, from the end of the run before it.
struct Run {
  std::size_t end = 0;
  Origin origin = Origin::literal;
};

/// Immutable. The runs cover all bytes in order, no two neighbours of one origin.
class Text {
 public:
  /// `budget` may be null: then nobody counts the memory. Otherwise it must outlive the text.
  Text(std::string bytes, std::vector<Run> runs, Budget* budget);
  ~Text();
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

  std::string_view bytes() const noexcept { return bytes_; }
  const std::vector<Run>& runs() const noexcept { return runs_; }
  bool empty() const noexcept { return bytes_.empty(); }

  /// In characters, which is what templates count in. Constant time for ASCII, else linear.
  std::size_t characters() const noexcept;
  std::size_t byte_of(std::size_t character) const noexcept;

 private:
  std::size_t memory_bytes() const noexcept;

  const std::string bytes_;
  const std::vector<Run> runs_;
  const bool ascii_;
  Budget* const budget_;
};

using TextPtr = std::shared_ptr<const Text>;

/// A text without a rendering to count it, as a template holds its literals.
TextPtr literal_text(std::string bytes);

/// Puts a text together.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(budget) {}

  void append(std::string_view bytes, Origin origin);
  void append(const Text& text) { append(text, 0, text.bytes().size()); }
  void append(const Text& text, std::size_t begin, std::size_t end);  ///< bytes begin .. end

  std::string_view bytes() const noexcept { return bytes_; }
  const std::vector<Run>& runs() const noexcept { return runs_; }
  TextPtr finish();  ///< leaves the builder empty
  std::string take_bytes() { return std::move(bytes_); }

 private:
  Budget& budget_;
  std::string bytes_;
  std::vector<Run> runs_;
};

/// Bytes begin .. end of `text`.
TextPtr part_of(Budget& budget, const Text& text, std::size_t begin, std::size_t end);

/// `text` with `map` applied to each run: its string_view → std::string.
template <class Map>
TextPtr map_runs(Budget& budget, const Text& text, Map map) {
  TextBuilder builder(budget);
  budget.walk(text.bytes().size());
  std::size_t begin = 0;
  for (const Run& run : text.runs()) {
    builder.append(map(text.bytes().substr(begin, run.end - begin)), run.origin);
    begin = run.end;
  }
  return builder.finish();
}

}  // namespace troupe::jinja
