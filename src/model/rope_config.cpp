#include "model/rope_config.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>
#include <optional>

#include "base/utf8.hpp"

namespace troupe {
namespace {

constexpr const char* freqs_name = "rope_freqs.weight";
constexpr const char* short_name = "rope_factors_short.weight";
constexpr const char* long_name = "rope_factors_long.weight";

Error bad(std::string message) {
  return {Errc::bad_file, std::move(message), 0};
}

/// A tensor of divisors of the frequencies; empty when the file has none.
Result<std::vector<float>> divisors(const Checkpoint& checkpoint, const char* name, std::uint32_t pairs) {
  const TensorView* tensor = checkpoint.find(name);
  if (tensor == nullptr) return std::vector<float>{};
  if (tensor->type != TensorType::f32 || tensor->elements() != pairs) {
    return bad(std::string("tensor ") + name + " has " + std::to_string(tensor->elements()) +
               " elements of type " + std::string(tensor_type_info(tensor->type).name) + "; expected " +
               std::to_string(pairs) + " of F32");
  }
  std::vector<float> factors(pairs);
  std::memcpy(factors.data(), tensor->data.data(), pairs * sizeof(float));
  for (const float factor : factors) {
    if (!std::isfinite(factor) || factor <= 0)
      return bad(std::string("tensor ") + name + " holds " + std::to_string(factor));
  }
  return factors;
}

/// What rope.scaling says.
struct Scaling {
  bool yarn = false;
  double factor = 1;
  double original_context = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  double magnitude = 1;
};

Result<Scaling> read_scaling(const KeyReader& keys, std::uint32_t context_tokens) {
  Scaling scaling;
  TROUPE_TRY(const auto stated, keys.metadata().get_string(keys.key("rope.scaling.type")));
  const std::string type = stated.value_or("linear");
  constexpr std::array known{"none", "linear", "yarn", "longrope"};
  if (std::find(known.begin(), known.end(), type) == known.end()) {
    return Error{Errc::unsupported,
                 keys.key("rope.scaling.type") + " is " + in_quotes(type) +
                     "; supported: none, linear, yarn, longrope",
                 0};
  }
  TROUPE_TRY(scaling.magnitude, keys.positive_or("rope.scaling.attn_factor", 1));
  if (type == "none") return scaling;

  // The second is the key of older files. A factor of 0 says nothing.
  const char* factor_key = keys.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
  TROUPE_TRY(scaling.factor, keys.number_or(factor_key, 1));
  if (scaling.factor == 0) scaling.factor = 1;
  if (type != "yarn") return scaling;

  scaling.yarn = true;
  TROUPE_TRY(scaling.original_context,
             keys.positive_or("rope.scaling.original_context_length", context_tokens));
  TROUPE_TRY(scaling.beta_fast, keys.positive_or("rope.scaling.yarn_beta_fast", 32));
  TROUPE_TRY(scaling.beta_slow, keys.positive_or("rope.scaling.yarn_beta_slow", 1));
  TROUPE_TRY(const double log_multiplier, keys.number_or("rope.scaling.yarn_log_multiplier", 0));
  const double logarithm = std::max(0.0, std::log(scaling.factor));
  scaling.magnitude *= (1 + 0.1 * logarithm) / (1 + 0.1 * log_multiplier * logarithm);
  return scaling;
}

/// The share, 0 to 1, of each pair's frequency that yarn leaves as it is: 1 for pairs that turn beta_fast
/// times or more within the original context, 0 for beta_slow times or less. The bounds are whole pairs.
double kept_share(const Scaling& scaling, double base, std::uint32_t dim, std::uint32_t pair) {
  const auto pair_that_turns = [&](double times) {
    const double wavelengths = scaling.original_context / (times * 2 * std::numbers::pi);
    return dim * std::log(wavelengths) / (2 * std::log(base));
  };
  const double low = std::max(0.0, std::floor(pair_that_turns(scaling.beta_fast)));
  const double high = std::min(dim - 1.0, std::ceil(pair_that_turns(scaling.beta_slow)));
  return 1 - std::clamp((pair - low) / std::max(0.001, high - low), 0.0, 1.0);
}

std::vector<double> frequencies(const Scaling& scaling, double base, std::uint32_t dim,
                                const std::vector<float>& divisors) {
  std::vector<double> out(dim / 2);
  for (std::uint32_t i = 0; i < dim / 2; ++i) {
    const double divisor = divisors.empty() ? 1.0 : static_cast<double>(divisors[i]);
    const double plain = std::pow(base, -2.0 * i / dim) / divisor;
    const double kept = scaling.yarn ? kept_share(scaling, base, dim, i) : 0;
    out[i] = plain * kept + plain / scaling.factor * (1 - kept);
  }
  return out;
}

}  // namespace

Result<RopeConfig> read_rope(const Checkpoint& checkpoint, const KeyReader& keys,
                             const Architecture& architecture, std::uint32_t head_dim,
                             std::uint32_t context_tokens) {
  RopeConfig config;
  TROUPE_TRY(config.dim, keys.dimension_or("rope.dimension_count", head_dim));
  if (config.dim > head_dim || config.dim % 2 != 0) {
    return bad(keys.key("rope.dimension_count") + " is " + std::to_string(config.dim) +
               "; expected an even number up to the head size " + std::to_string(head_dim));
  }
  TROUPE_TRY(const double base, keys.positive_or("rope.freq_base", 10000.0));
  TROUPE_TRY(const Scaling scaling, read_scaling(keys, context_tokens));
  if (scaling.yarn && base <= 1) {
    return bad(keys.key("rope.freq_base") + " is " + std::to_string(base) + "; yarn needs more than 1");
  }
  const std::uint32_t pairs = config.dim / 2;
  TROUPE_TRY(const auto freqs, divisors(checkpoint, freqs_name, pairs));
  TROUPE_TRY(const auto short_factors, divisors(checkpoint, short_name, pairs));
  TROUPE_TRY(const auto long_factors, divisors(checkpoint, long_name, pairs));

  config.full.magnitude = scaling.magnitude;
  config.full.frequencies = frequencies(scaling, base, config.dim, freqs.empty() ? short_factors : freqs);
  if (freqs.empty() && !long_factors.empty()) {
    TROUPE_TRY(config.original_context,
               keys.dimension_or("rope.scaling.original_context_length", context_tokens));
    config.full.long_frequencies = frequencies(scaling, base, config.dim, long_factors);
  }

  const double fallback = architecture.window_rope_base != 0 ? architecture.window_rope_base : base;
  TROUPE_TRY(const double window_base, keys.positive_or("rope.freq_base_swa", fallback));
  if (architecture.window_rope_unscaled) {
    config.windowed.frequencies = frequencies({}, window_base, config.dim, {});
  } else {
    config.windowed = config.full;
    if (window_base != base)
      config.windowed.frequencies = frequencies(scaling, window_base, config.dim, freqs);
  }
  return config;
}

bool is_rope_tensor(std::string_view name) {
  return name == freqs_name || name == short_name || name == long_name;
}

}  // namespace troupe
