#include "tools/prompts.hpp"

#include <utility>

#include "base/try.hpp"
#include "tools/terminal.hpp"

namespace troupe::tools {

Status Prompts::expect(std::size_t count) {
  while (read_ahead_.size() < count) {
    TROUPE_TRY(std::optional<std::string> prompt, read());
    if (!prompt) break;
    read_ahead_.push_back(*std::move(prompt));
  }
  return {};
}

Result<std::optional<std::string>> Prompts::read() {
  if (given_read_ < given_.size()) return std::optional(std::move(given_[given_read_++]));
  if (!file_) return std::optional<std::string>();
  TROUPE_TRY(std::optional<std::string> prompt, file_->next());
  file_ended_ = !prompt;
  return prompt;
}

bool Prompts::ready() {
  return !read_ahead_.empty() || given_read_ < given_.size() || !file_ || file_->ready();
}

const std::string* Prompts::next() {
  if (Status status = expect(1); !status) failure_ = std::move(status).error();
  if (read_ahead_.empty()) return nullptr;
  unanswered_.push_back(std::move(read_ahead_.front()));
  read_ahead_.pop_front();
  return &unanswered_.back();
}

std::optional<double> Prompts::share() const {
  return file_ ? file_->share() : std::nullopt;
}

void Prompts::tell_empty_lines() const {
  const std::size_t lines = file_ ? file_->empty_lines() : 0;
  if (lines == 0) return;
  complain("left out " + std::to_string(lines) + (lines == 1 ? " empty line" : " empty lines") + " of " +
           file_->name());
}

}  // namespace troupe::tools
