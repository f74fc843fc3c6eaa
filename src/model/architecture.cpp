#include "model/architecture.hpp"

namespace troupe {
namespace {

constexpr Architecture architectures[] = {
    {"llama", NormKind::rms, PositionKind::rotary, RopeStyle::adjacent, FeedForwardKind::silu_gated, false},
    {"gpt2", NormKind::layer, PositionKind::learned, RopeStyle::adjacent, FeedForwardKind::gelu_plain, true},
};

}  // namespace

const Architecture* find_architecture(std::string_view name) noexcept {
  for (const Architecture& architecture : architectures) {
    if (architecture.name == name) return &architecture;
  }
  return nullptr;
}

std::string architecture_names() {
  std::string names;
  for (const Architecture& architecture : architectures) {
    names.append(names.empty() ? "" : ", ").append(architecture.name);
  }
  return names;
}

}  // namespace troupe
