#include "engine/resolve.hpp"

#include <algorithm>
#include <string>

#include "base/memory.hpp"
#include "base/try.hpp"
#include "kernels/thread_pool.hpp"
#include "model/evaluate.hpp"
#include "model/kv_cache.hpp"
#include "model/model_parts.hpp"

namespace troupe {
namespace {

Status in_range(const char* name, std::uint64_t value, std::uint64_t low, std::uint64_t high) {
  if (value >= low && value <= high) return {};
  return Error{Errc::bad_argument,
               std::string(name) + " is " + std::to_string(value) + "; expected " + std::to_string(low) +
                   " to " + std::to_string(high),
               0};
}

Status check_ranges(const EngineOptions& o) {
  TROUPE_TRY_STATUS(in_range("threads", o.threads, 0, threads_max));
  TROUPE_TRY_STATUS(in_range("replicas", o.replicas, 1, threads_max));
  TROUPE_TRY_STATUS(in_range("routing", static_cast<std::uint64_t>(o.routing), 0,
                             static_cast<std::uint64_t>(Routing::prefix_affinity)));
  TROUPE_TRY_STATUS(in_range("pool_shape", static_cast<std::uint64_t>(o.pool_shape), 0,
                             static_cast<std::uint64_t>(PoolShape::per_request)));
  TROUPE_TRY_STATUS(in_range("kv_precision", static_cast<std::uint64_t>(o.kv_precision), 0,
                             static_cast<std::uint64_t>(KvPrecision::q8_0)));
  TROUPE_TRY_STATUS(in_range("context_tokens", o.context_tokens, 0, 1U << 24));
  TROUPE_TRY_STATUS(in_range("pool_max", o.pool_max, 1, 4096));
  TROUPE_TRY_STATUS(in_range("queue_requests_max", o.queue_requests_max, 1, 1U << 24));
  TROUPE_TRY_STATUS(in_range("queue_tokens_max", o.queue_tokens_max, 1, std::uint64_t{1} << 48));
  TROUPE_TRY_STATUS(in_range("step_tokens_max", o.step_tokens_max, 1, 65536));
  if (!(o.step_stretch_max >= 1 && o.step_stretch_max <= 1e6)) {
    return Error{Errc::bad_argument,
                 "step_stretch_max is " + std::to_string(o.step_stretch_max) + "; expected 1 to 1000000", 0};
  }
  TROUPE_TRY_STATUS(in_range("draft_tokens_max", o.draft_tokens_max, 0, 64));
  TROUPE_TRY_STATUS(in_range("stream_window_tokens", o.stream_window_tokens, 1, 1U << 20));
  TROUPE_TRY_STATUS(in_range("straggler_wait_us", o.straggler_wait_us, 0, 1'000'000));
  TROUPE_TRY_STATUS(in_range("reader_stall_ms_max", o.reader_stall_ms_max, 0, 86'400'000));
  TROUPE_TRY_STATUS(in_range("step_stall_ms_max", o.step_stall_ms_max, 0, 86'400'000));
  TROUPE_TRY_STATUS(in_range("restart_window_ms", o.restart_window_ms, 1, 3'600'000));
  TROUPE_TRY_STATUS(in_range("restart_backoff_ms", o.restart_backoff_ms, 0, 60'000));
  return in_range("drain_ms", o.drain_ms, 0, 3'600'000);
}

}  // namespace

Result<ResolvedOptions> resolve(const EngineOptions& asked, const Model& model) {
  TROUPE_TRY_STATUS(check_ranges(asked));
  ResolvedOptions resolved;
  EngineOptions& o = resolved.options = asked;
  if (o.threads == 0) o.threads = usable_threads();
  if (o.replicas > o.threads) {
    return Error{Errc::bad_argument,
                 "replicas is " + std::to_string(o.replicas) + ", but threads is " +
                     std::to_string(o.threads) + "; expected at most one replica for each thread",
                 0};
  }
  TROUPE_TRY(o.context_tokens, resolve_context_tokens(model, o.context_tokens));
  o.kv_precision = resolve_kv_precision(model, o.kv_precision);
  resolved.kv_type = kv_type_of(o.kv_precision);

  // A step has room for a row of every running generator, or decodes would take turns.
  o.step_tokens_max = std::max(o.step_tokens_max, o.pool_max);
  const std::size_t page = KvCache::page_bytes(model.parts().config, resolved.kv_type);
  const std::size_t sequence_pages = KvCache::pages_for(o.context_tokens);
  const std::uint64_t usable = usable_memory_bytes();
  if (o.kv_bytes_max == 0) {
    const std::uint32_t sequences = (o.pool_max + o.replicas - 1) / o.replicas * o.replicas;
    o.kv_bytes_max = std::min<std::uint64_t>(std::uint64_t{page} * sequence_pages * sequences, usable / 2);
  }
  resolved.kv_pages_max = o.kv_bytes_max / page / o.replicas;
  if (resolved.kv_pages_max == 0 || o.kv_bytes_max > usable) {
    return Error{Errc::too_large,
                 "a KV cache of " + std::to_string(o.kv_bytes_max) + " bytes is not possible: one page" +
                     (o.replicas == 1 ? "" : " for each of " + std::to_string(o.replicas) + " replicas") +
                     " takes " + std::to_string(page) + ", and this process may use " +
                     std::to_string(usable),
                 0};
  }
  return resolved;
}

}  // namespace troupe
