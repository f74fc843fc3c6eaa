#pragma once

#include "kernels/attention.hpp"
#include "troupe/model.hpp"
#include "troupe/options.hpp"

namespace troupe {

/// EngineOptions with every 0 replaced by what it stands for, and the KV cache's size in pages.
struct ResolvedOptions {
  EngineOptions options;
  KvType kv_type = KvType::f32;
  std::size_t kv_pages_max = 0;
};

/// Errors: bad_argument (an option out of range; names it), too_large (no memory for a page of the KV cache).
Result<ResolvedOptions> resolve(const EngineOptions& asked, const Model& model);

}  // namespace troupe
