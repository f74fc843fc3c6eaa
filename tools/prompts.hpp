#pragma once
// The prompts of `troupe generate`, wherever they come from.

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "tools/prompt_file.hpp"
#include "troupe/error.hpp"

namespace troupe::tools {

/// The prompts of the command line, then those of --prompts, read as they are wanted. Those whose answers are
/// not printed yet are kept. One user.
class Prompts {
 public:
  explicit Prompts(std::vector<std::string> given) : given_(std::move(given)) {}

  void add_file(PromptFile file) { file_.emplace(std::move(file)); }

  /// Reads ahead until there are `count`, waiting for them, or no more. Errors: io, too_large.
  Status expect(std::size_t count);

  /// How many are known to be left, and whether that is all of them.
  std::size_t known() const { return read_ahead_.size() + given_.size() - given_read_; }
  bool all_known() const { return !file_ || file_ended_; }

  /// Whether next() would not wait.
  bool ready();
  /// The next one; null at the end, also after an error, which failure() has then. It stays until answered().
  const std::string* next();
  const std::optional<Error>& failure() const { return failure_; }

  /// The oldest that next() gave and that was not answered.
  const std::string& first_unanswered() const { return unanswered_.front(); }
  void answered() { unanswered_.pop_front(); }

  /// The share of the file that was read, if there is one whose size is known.
  std::optional<double> share() const;
  /// Says on standard error how many lines of the file were left out, if any.
  void tell_empty_lines() const;

 private:
  Result<std::optional<std::string>> read();

  std::vector<std::string> given_;
  std::size_t given_read_ = 0;
  std::optional<PromptFile> file_;
  bool file_ended_ = false;
  std::deque<std::string> read_ahead_;
  std::deque<std::string> unanswered_;
  std::optional<Error> failure_;
};

}  // namespace troupe::tools
