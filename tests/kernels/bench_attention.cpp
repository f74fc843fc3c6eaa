// How fast attention is beside what the machine can do; run by hand:
//   bench_attention [heads kv_heads head_dim [target [type]]]
// Per type of the KV cache: decoding rows of long sequences, in GB/s of keys and values read, which lie in
// more memory than caches hold; and a step of a prompt, in billions of multiply-adds per second.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/attention.hpp"
#include "kernels/ceilings.hpp"
#include "kernels/samples.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

/// Seconds of the median of several runs, 0.4 s in all.
template <class Run>
double median(Run run) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> all;
  double total = 0;
  run();
  while (total < 0.4) {
    const auto start = Clock::now();
    run();
    all.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    total += all.back();
  }
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

/// Pages of `layers` layers, as the cache has them, for some sequences.
class Pages {
 public:
  Pages(AttentionLayer layer, std::size_t layers, std::size_t sequences, std::size_t tokens) {
    const std::size_t part = page_part_bytes(layer.kv_heads, layer.head_dim, layer.kv_type);
    for (std::size_t i = 0; i < layers; ++i) {
      layer.k_offset = 2 * i * part, layer.v_offset = (2 * i + 1) * part;
      layers_.push_back(layer);
    }
    Samples samples(1);
    const auto k = samples.values(layer.kv_heads * layer.head_dim), v = samples.values(k.size());
    pages_.resize(sequences);
    for (auto& pages : pages_)
      for (std::size_t p = 0; p < tokens; p += page_tokens) {
        memory_.emplace_back(2 * layers * part);
        for (const AttentionLayer& l : layers_)
          for (std::size_t slot = 0; slot < page_tokens; ++slot)
            store_kv(l, memory_.back().data(), slot, k.data(), v.data());
        pages.push_back(memory_.back().data());
      }
  }
  const AttentionLayer& layer(std::size_t i) const { return layers_[i % layers_.size()]; }
  std::span<const std::byte* const> of(std::size_t sequence) const { return pages_[sequence]; }

 private:
  std::vector<AttentionLayer> layers_;
  std::vector<AlignedBuffer<std::byte>> memory_;
  std::vector<std::vector<const std::byte*>> pages_;
};

}  // namespace

int main(int argc, char** argv) {
  const std::size_t heads = argc > 3 ? std::strtoul(argv[1], nullptr, 10) : 9;
  const std::size_t kv_heads = argc > 3 ? std::strtoul(argv[2], nullptr, 10) : 3;
  const std::size_t dim = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 64;
  if (argc > 4) force_kernel_target(argv[4]);
  const std::string only = argc > 5 ? argv[5] : "";
  if (heads == 0 || kv_heads == 0 || dim == 0 || heads % kv_heads != 0) {
    std::fprintf(stderr, "head_dim must be positive, heads a multiple of kv_heads\n");
    return 2;
  }
  std::printf("%zu heads, %zu for keys and values, of %zu; kernels for %s\n", heads, kv_heads, dim,
              active_kernel_target().c_str());
  const std::vector<float> q = Samples(2).values(256 * heads * dim);
  std::vector<float> out(q.size());
  AttentionScratch scratch;
  for (const unsigned threads : {1u, 2u}) {
    ThreadPool pool(threads);
    std::printf("\n%u thread%s, memory read at %.1f GB/s, f32 at %.0f GMAC/s\n", threads,
                threads == 1 ? "" : "s", measure_read_gb_s(pool), measure_f32_gmac_s(pool));
    for (const auto& [type, name] :
         {std::pair{KvType::f32, "f32"}, {KvType::f16, "f16"}, {KvType::q8_0, "q8_0"}}) {
      if (!only.empty() && only != name) continue;
      AttentionLayer layer{heads, kv_heads, dim, 0.125f, type, 0, 0};
      std::printf("%-4s decode GB/s:", name);
      for (const auto& [sequences, tokens] :
           {std::pair<std::size_t, std::size_t>{1, 512}, {1, 4096}, {8, 1024}}) {
        const std::size_t bytes = 2 * sequences * tokens / page_tokens * page_part_bytes(kv_heads, dim, type);
        const Pages pages(layer, std::max<std::size_t>(2, (std::size_t{96} << 20) / bytes), sequences,
                          tokens);
        std::vector<AttentionRow> rows;
        for (std::size_t s = 0; s < sequences; ++s)
          rows.push_back({&q[s * heads * dim], &out[s * heads * dim], pages.of(s), tokens - 1, 0});
        std::size_t next = 0;
        const double seconds = median([&] { attention(pages.layer(next++), rows, scratch, pool); });
        std::printf("  %zux%zu %5.1f", sequences, tokens, static_cast<double>(bytes) / seconds / 1e9);
      }
      std::printf("   prompt GMAC/s:");
      for (const std::size_t before : {std::size_t{0}, std::size_t{256}, std::size_t{1792}}) {
        const Pages pages(layer, 4, 1, before + 256);
        std::vector<AttentionRow> rows;
        for (std::size_t r = 0; r < 256; ++r)
          rows.push_back({&q[r * heads * dim], &out[r * heads * dim], pages.of(0), before + r, 0});
        std::size_t next = 0;
        const double seconds = median([&] { attention(pages.layer(next++), rows, scratch, pool); });
        std::printf("  %zu+256 %4.0f", before,
                    static_cast<double>(2 * heads * dim * (256 * before + 256 * 257 / 2)) / seconds / 1e9);
      }
      std::printf("\n");
    }
  }
}
