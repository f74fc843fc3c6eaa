#pragma once

#include "kernels/attention.hpp"
#include "troupe/model.hpp"
#include "troupe/options.hpp"

namespace troupe {

/// EngineOptions with every 0 replaced by what it stands for, and what each replica gets of them.
struct ResolvedOptions {
  EngineOptions options;
  KvType kv_type = KvType::f32;
  std::size_t kv_pages_max = 0;  ///< of each replica's cache

  /// Kernel threads of a replica: the first ones have one more where the division leaves a rest.
  std::uint32_t threads_of(std::uint32_t replica) const noexcept {
    return options.threads / options.replicas + (replica < options.threads % options.replicas ? 1 : 0);
  }
  std::size_t kv_pages_total() const noexcept { return kv_pages_max * options.replicas; }
};

/// Errors: bad_argument (an option out of range, more replicas than threads; names it), too_large (no memory
/// for a page of the KV cache).
Result<ResolvedOptions> resolve(const EngineOptions& asked, const Model& model);

}  // namespace troupe
