#pragma once
// What a batcher needs of a model: sequences and steps. The seam where tests put models that fail.

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "model/forward.hpp"

namespace troupe {

/// Runs steps over sequences of its own. Owned and called by one batcher. A step that fails throws
/// (std::exception); the sequences that took part in it are then closed and not used again, the others are
/// as before.
class Stepper {
 public:
  virtual ~Stepper() = default;

  /// Starts a sequence and promises it memory for so many positions; false when that is not there.
  virtual bool open(SequenceId id, std::size_t promised) = 0;
  /// Frees the sequence at once; unknown ids are ignored.
  virtual void close(SequenceId id) = 0;
  virtual std::size_t length(SequenceId id) const = 0;
  /// Takes back what the sequence holds beyond `length` positions, none of which was remembered.
  virtual void truncate(SequenceId id, std::size_t length) = 0;

  /// Gives an empty sequence what is known of the beginning of `tokens`, never all of it; returns its length.
  /// A stepper that keeps no prefixes knows nothing.
  virtual std::size_t reuse_prefix(SequenceId /*id*/, std::span<const Token> /*tokens*/) { return 0; }
  /// Says which tokens the positions of the sequence hold, one call going on where the last ended.
  virtual void remember(SequenceId /*id*/, std::span<const Token> /*tokens*/) {}

  /// One forward pass. The logits stay valid as long as they are held.
  virtual std::shared_ptr<const LogitsBlock> run(const StepBatch& batch) = 0;

  /// Has a thread that would have nothing to do until the next step call `job`, which must not throw. False
  /// where there is none.
  virtual bool aside(std::function<void()> /*job*/) { return false; }

  virtual std::size_t pages_used() const = 0;

  /// Pages that `tokens` more of the sequence take of those that are available: run() must not be asked for
  /// more than there are.
  virtual std::size_t pages_missing(SequenceId id, std::size_t tokens) const = 0;
  virtual std::size_t pages_available() const = 0;
  /// How many of `more` tokens behind the sequence's next `tokens` take no more than `pages` besides theirs;
  /// takes off `pages` what they do.
  std::size_t affordable(SequenceId id, std::size_t tokens, std::size_t more, std::size_t& pages) const;
};

/// The real one: one model, its KV cache and kernel threads; no sequence has more than `context_tokens`.
std::unique_ptr<Stepper> make_model_stepper(std::shared_ptr<const Model> model, KvType kv_type,
                                            std::size_t pages_max, std::size_t context_tokens,
                                            unsigned threads);

}  // namespace troupe
