#pragma once
// Which pages of a KV cache the requests that run need, and whether there is room for another. Pure.

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>

namespace troupe {

/// What a request needs of a KV cache, in tokens of prompt and answer together.
struct KvNeed {
  std::size_t now = 0;
  std::size_t most = 0;         ///< that there may ever be; alone they fit
  std::uint32_t evictions = 0;  ///< how often it had to make way because there were no pages to go on
};

/// One for each KV cache, kept by the router: it sees every token, so it knows what each request needs
/// without asking. A page that several requests share is counted for each, so never too few are counted.
/// Without over-commitment every request has all that it may ever need from its start on. With it, requests
/// have pages as they grow, and some have to make way when they need more than there are. One owner.
class PageLedger {
 public:
  /// Tokens that a request's pages are ahead of it: the next, and as many guesses behind it as are usual. So
  /// generators, which are ahead of the router, seldom have to wait.
  static constexpr std::size_t ahead_tokens = 8;
  /// Tokens that all requests must be able to grow by for another one to start. Twice as many for one that
  /// had to make way once, four times for the second time, and so on, so that none is started in vain for
  /// long.
  static constexpr std::size_t room_tokens = 64;

  PageLedger(std::size_t pages_max, bool overcommit) : pages_max_(pages_max), overcommit_(overcommit) {}

  /// Whether a request may start once those that are `gone` are.
  bool fits(const KvNeed& need, std::span<const std::uint64_t> gone) const;
  /// Positions that its sequence is to be promised at its start.
  std::size_t promised(const KvNeed& need) const { return overcommit_ ? 0 : need.most; }

  void start(std::uint64_t id, const KvNeed& need);
  /// It got a token more.
  void grow(std::uint64_t id);
  void end(std::uint64_t id);

  /// Whether the requests need more pages than there are: never when there is only one.
  bool overdrawn() const noexcept { return pages_ > pages_max_; }
  std::size_t pages() const noexcept { return pages_; }

 private:
  /// With room to grow by `ahead` tokens.
  std::size_t pages_of(const KvNeed& need, std::size_t ahead) const;

  std::size_t pages_max_;
  bool overcommit_;
  std::size_t pages_ = 0;  // that the requests need
  std::unordered_map<std::uint64_t, KvNeed> needs_;
};

}  // namespace troupe
