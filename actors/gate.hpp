#pragma once
// In front of the router: what it would refuse is refused by those who bring it, so that an overload is paid
// for by them, and the actors get on with what they have admitted.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "actors/counters.hpp"
#include "troupe/error.hpp"
#include "troupe/options.hpp"

namespace troupe {

/// One per engine or troupe. Thread-safe.
class Gate : public std::enable_shared_from_this<Gate> {
 public:
  Gate(std::shared_ptr<Counters> counters, const EngineOptions& options);

  /// Held by a request until its prompt is encoded; the gate counts them.
  class Place {
   public:
    explicit Place(std::shared_ptr<Gate> gate);
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    Gate& gate() const noexcept { return *gate_; }

   private:
    std::shared_ptr<Gate> gate_;
  };

  /// Lets a request in to be encoded. Error: queue_full, as the router last said it, or when as many are
  /// being encoded as queue and pool could take; it is counted.
  Result<std::shared_ptr<const Place>> enter();

  /// The router's refusal of any newcomer, as it last said it; it is counted.
  std::optional<Error> queue_full();

  /// Counts a refusal that was given here and returns it.
  Error refused(Error error);

 private:
  std::shared_ptr<Counters> counters_;
  std::uint64_t encoding_max_;
  std::atomic<std::uint64_t> encoding_{0};
};

}  // namespace troupe
