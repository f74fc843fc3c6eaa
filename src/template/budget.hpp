#pragma once
// What one rendering may spend. A template comes with a file that anyone may have made, so each thing it can
// make much of is counted: steps, bytes of text, memory, nesting.

#include <cstddef>
#include <cstdint>
#include <string>

#include "troupe/error.hpp"
#include "troupe/options.hpp"

namespace troupe::jinja {

/// What is thrown inside this room, and caught at its edge (program.cpp). Nothing else is.
struct Failure {
  Errc code = Errc::bad_argument;
  std::string message;  ///< with the line of the template
};

/// Throws a Failure that names the line.
[[noreturn]] void fail_at(std::uint32_t line, const std::string& what, Errc code = Errc::bad_argument);

/// Owned by one rendering, used by one thread.
class Budget {
 public:
  explicit Budget(const ChatTemplateLimits& limits) : limits_(limits) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  /// Takes steps; throws when there are none left.
  void step(std::uint64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps_max) out_of_steps();
  }

  /// The steps of copying so many bytes.
  void work(std::size_t bytes) { step(bytes / 32); }
  /// The steps of looking at so many bytes one by one.
  void walk(std::size_t bytes) { step(bytes / 4); }

  /// Called before a text of so many bytes is made.
  void check_text(std::size_t bytes) const {
    if (bytes > limits_.text_bytes_max) text_too_long();
  }

  /// The same for `count` pieces of `bytes` each.
  void check_repeated(std::size_t bytes, std::int64_t count) const {
    if (count > 0 && bytes > limits_.text_bytes_max / static_cast<std::uint64_t>(count)) text_too_long();
  }

  /// Memory that is held until release() or the end.
  void hold(std::size_t bytes) {
    held_ += bytes;
    if (held_ > limits_.memory_bytes_max) out_of_memory();
  }
  void release(std::size_t bytes) noexcept { held_ -= bytes; }

  /// One level of nesting, of evaluation or of data.
  class Level {
   public:
    explicit Level(Budget& budget) : budget_(budget) {
      if (++budget_.depth_ > budget_.limits_.depth_max) {
        --budget_.depth_;
        budget_.too_deep();
      }
    }
    ~Level() { --budget_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Budget& budget_;
  };

  /// Throws with the line that is being worked on.
  [[noreturn]] void fail(const std::string& what) const { fail_at(line, what); }

  std::uint32_t line = 1;  ///< of the template, for messages

 private:
  [[noreturn]] void out_of_steps() const;
  [[noreturn]] void text_too_long() const;
  [[noreturn]] void out_of_memory() const;
  [[noreturn]] void too_deep() const;

  const ChatTemplateLimits limits_;
  std::uint64_t steps_ = 0;
  std::size_t held_ = 0;
  std::uint32_t depth_ = 0;
};

}  // namespace troupe::jinja
