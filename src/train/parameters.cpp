#include "train/parameters.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/random.hpp"

namespace troupe::train {

std::size_t ParameterLayout::add(std::string name, std::vector<std::uint64_t> dims, float spread,
                                 float fill) {
  Parameter p;
  p.count = 1;
  for (const auto d : dims) p.count *= d;
  p.decays = dims.size() > 1;
  p.name = std::move(name);
  p.dims = std::move(dims);
  p.offset = count;
  p.spread = spread;
  p.fill = fill;
  count += p.count;
  parameters.push_back(std::move(p));
  return parameters.back().offset;
}

ParameterLayout::ParameterLayout(const ModelShape& s) {
  const bool biases = s.has_biases();
  constexpr float spread = 0.02f;
  const float residual_spread = spread / std::sqrt(2.0f * static_cast<float>(s.layers));
  const auto norm_pair = [&](const std::string& name, std::size_t& weight, std::size_t& bias) {
    weight = add(name + ".weight", {s.width}, 0, 1);
    if (biases) bias = add(name + ".bias", {s.width}, 0, 0);
  };
  const auto linear = [&](const std::string& name, std::size_t rows, std::size_t cols, float deviation,
                          std::size_t& weight, std::size_t& bias) {
    weight = add(name + ".weight", {rows, cols}, deviation, 0);
    if (biases) bias = add(name + ".bias", {rows}, 0, 0);
  };
  embedding = add("token_embd.weight", {s.vocab, s.width}, spread, 0);
  if (s.style == Style::gpt2) positions = add("position_embd.weight", {s.context, s.width}, spread, 0);
  for (std::size_t l = 0; l < s.layers; ++l) {
    LayerOffsets o;
    const std::string prefix = "blk." + std::to_string(l) + ".";
    norm_pair(prefix + "attn_norm", o.norm1, o.norm1_bias);
    if (s.style == Style::gpt2) {
      linear(prefix + "attn_qkv", s.qkv_width(), s.width, spread, o.qkv, o.qkv_bias);
    } else {
      o.qkv = add(prefix + "attn_q.weight", {s.width, s.width}, spread, 0);
      add(prefix + "attn_k.weight", {s.kv_width(), s.width}, spread, 0);
      add(prefix + "attn_v.weight", {s.kv_width(), s.width}, spread, 0);
    }
    linear(prefix + "attn_output", s.width, s.width, residual_spread, o.out, o.out_bias);
    norm_pair(prefix + "ffn_norm", o.norm2, o.norm2_bias);
    if (s.style == Style::llama) {
      o.up = add(prefix + "ffn_gate.weight", {s.ffn, s.width}, spread, 0);
      add(prefix + "ffn_up.weight", {s.ffn, s.width}, spread, 0);
    } else {
      linear(prefix + "ffn_up", s.ffn, s.width, spread, o.up, o.up_bias);
    }
    linear(prefix + "ffn_down", s.width, s.ffn, residual_spread, o.down, o.down_bias);
    layers.push_back(o);
  }
  norm_pair("output_norm", norm, norm_bias);
  head = s.tied ? embedding : add("output.weight", {s.vocab, s.width}, spread, 0);
}

void initialize(const ParameterLayout& layout, std::uint64_t seed, float* values) {
  for (const Parameter& p : layout.parameters) {
    float* to = values + p.offset;
    if (p.spread == 0) {
      std::fill_n(to, p.count, p.fill);
      continue;
    }
    for (std::size_t i = 0; i < p.count; ++i) {  // Box-Muller
      const std::uint64_t at = p.offset + i;
      const double radius = std::sqrt(-2 * std::log(1 - uniform_at(seed, 2 * at)));
      const double angle = 2 * std::numbers::pi * uniform_at(seed, 2 * at + 1);
      to[i] = static_cast<float>(radius * std::cos(angle) * static_cast<double>(p.spread));
    }
  }
}

}  // namespace troupe::train
