#pragma once
// Whether client keys that always have work get equal shares of the tokens.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "troupe/generation.hpp"

namespace troupe::test {

/// While two keys of one priority both have requests that wait, neither is served more than `bound` tokens
/// (prompts and answers) more than the other. A key is given a place only while it has been served least, and
/// then takes at most pool_max requests' worth of tokens; that is one request's worth per place for either
/// key, and once more since a prompt is seen here only by its first token.
class ShareCheck {
 public:
  ShareCheck(std::size_t pool_max, std::size_t request_tokens_max)
      : pool_max_(pool_max), bound_(3.0 * static_cast<double>(pool_max * request_tokens_max)) {}

  void admitted(Priority priority, const std::string& key) { ++parties_[{priority, key}].unstarted; }
  void served(Priority priority, const std::string& key, std::size_t tokens) {
    parties_[{priority, key}].served += static_cast<double>(tokens);
  }
  /// It has been given its first token, or has ended without.
  void started(Priority priority, const std::string& key) { --parties_[{priority, key}].unstarted; }
  /// It has ended without a token, and may have been served its prompt.
  void unclear(Priority priority, const std::string& key, std::size_t prompt_tokens) {
    parties_[{priority, key}].unclear += static_cast<double>(prompt_tokens);
  }

  /// What is wrong, or nothing. Call whenever something was served.
  std::string compare();
  std::uint64_t compared() const { return compared_; }

 private:
  using PartyName = std::pair<Priority, std::string>;
  struct Party {
    std::size_t unstarted = 0;
    double served = 0;
    double unclear = 0;
  };
  struct Start {  // of a time in which both waited
    double lead;
    double unclear;
  };

  std::size_t pool_max_;
  double bound_;
  std::map<PartyName, Party> parties_;
  std::map<std::pair<PartyName, PartyName>, Start> starts_;
  std::uint64_t compared_ = 0;
};

}  // namespace troupe::test
