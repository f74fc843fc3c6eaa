#pragma once
// Errors are values. A function that can fail for a reason outside the program returns Result<T>; the
// Error in it names the thing, the value and the remedy in one sentence. A programmer's mistake aborts
// instead (base/check.hpp). Nothing in the public interface throws.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>

namespace troupe {

/// What kind of thing went wrong: what a caller switches on. The numbers are part of the interface.
enum class Errc : std::uint8_t {
  bad_argument = 1,      ///< an option or request field is out of its range or contradicts another
  bad_file = 2,          ///< a file is truncated, corrupt or not of the format it claims
  unsupported = 3,       ///< a well-formed file or request asks for something that Troupe lacks
  io = 4,                ///< the operating system refused to open, map, read or write
  too_large = 5,         ///< would need more memory than the stated budget
  context_exceeded = 6,  ///< prompt does not fit the context; the message has both counts
  queue_full = 7,        ///< refused at admission; retry_after_ms says when to try again
  draining = 8,          ///< the engine is stopping and admits nothing
  cancelled = 9,         ///< the caller cancelled before there was a result
  deadline = 10,         ///< the deadline passed before the request began
  fault = 11,            ///< something inside failed and replaying did not help
  reader_stalled = 12,   ///< the stream's reader stopped reading for longer than reader_stall_ms_max
};

/// The code's name as it appears in logs and JSON, e.g. "queue_full". Never null, static storage.
const char* errc_name(Errc code) noexcept;

/// One failure: a code for programs and a sentence for people.
struct Error {
  Errc code = Errc::fault;
  std::string message;
  std::uint32_t retry_after_ms = 0;  ///< only with Errc::queue_full; else 0
};

/// Either a T or an Error. Not thread-safe; move it like the T it holds.
/// Reading value() of a failed Result, or error() of a good one, aborts: test it first.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  T& value() & { return *get(); }
  const T& value() const& { return *const_cast<Result*>(this)->get(); }
  T&& value() && { return std::move(*get()); }
  T& operator*() & { return *get(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*get()); }
  T* operator->() { return get(); }
  const T* operator->() const { return const_cast<Result*>(this)->get(); }

  const Error& error() const& { return *const_cast<Result*>(this)->get_error(); }
  Error&& error() && { return std::move(*get_error()); }

 private:
  T* get() {
    if (auto* v = std::get_if<0>(&state_)) return v;
    std::abort();
  }
  Error* get_error() {
    if (auto* e = std::get_if<1>(&state_)) return e;
    std::abort();
  }
  std::variant<T, Error> state_;
};

/// Success, or an Error: what a function returns that has nothing else to say.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)), ok_(false) {}  // NOLINT: implicit

  bool ok() const noexcept { return ok_; }
  explicit operator bool() const noexcept { return ok_; }
  const Error& error() const& {
    if (ok_) std::abort();
    return error_;
  }
  Error&& error() && {
    if (ok_) std::abort();
    return std::move(error_);
  }

 private:
  Error error_;
  bool ok_ = true;
};

}  // namespace troupe
