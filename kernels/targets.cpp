#include "kernels/targets.hpp"

#include "base/check.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/tile_registers.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/targets.cpp"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

const char* own_name() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {

HWY_EXPORT(own_name);

namespace {

constexpr const char* tiles_suffix = "+AMX";

/// Kernels that use the tile registers are compiled for this target, and by GCC.
bool with_tiles(const std::string& target) {
#if defined(__clang__)
  return false;
#else
  return target == "AVX3_DL";
#endif
}

}  // namespace

std::vector<std::string> kernel_targets() {
  std::vector<std::string> names;
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    const std::string name = hwy::TargetName(target);
    if (with_tiles(name) && tile_registers()) names.push_back(name + tiles_suffix);
    names.push_back(name);
  }
  return names;
}

std::string active_kernel_target() {
  const std::string name = HWY_DYNAMIC_DISPATCH(own_name)();
  return with_tiles(name) && tile_registers() ? name + tiles_suffix : name;
}

void force_kernel_target(const std::string& name) {
  hwy::SetSupportedTargetsForTest(0);
  set_tile_registers(true);
  if (name.empty()) return;
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    const std::string plain = hwy::TargetName(target);
    if (name != plain && name != plain + tiles_suffix) continue;
    hwy::SetSupportedTargetsForTest(target);
    set_tile_registers(name != plain);
    return;
  }
  TROUPE_CHECK(!"a target of kernel_targets()");
}

}  // namespace troupe
#endif
