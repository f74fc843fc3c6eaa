#include "kernels/targets.hpp"

#include <fstream>
#include <iterator>
#include <string>

#include "kernels/samples.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace troupe::test;

TEST_CASE("every compiled target that this CPU has is reached", "[kernels][targets]") {
  const auto targets = kernel_targets();
  REQUIRE_FALSE(targets.empty());
  for (const std::string& target : targets) {
    const WithTarget with(target);
    CHECK(active_kernel_target() == target);
  }
  CHECK(active_kernel_target() == targets.front());
}

#if defined(__x86_64__)
TEST_CASE("a CPU with AVX2, AVX-512 or VNNI runs the kernels made for it", "[kernels][targets]") {
  std::ifstream in("/proc/cpuinfo");
  const std::string info{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const auto has = [&](const std::string& flag) { return info.find(" " + flag + " ") != std::string::npos; };
  const std::string active = active_kernel_target();
  INFO("active: " << active);
  if (has("avx2") && has("fma") && has("f16c") && has("bmi2")) CHECK(active.starts_with("AVX"));
  if (has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl"))
    CHECK(active.starts_with("AVX3"));
  if (has("avx512_vnni") && has("avx512_vbmi2") && has("vaes") && has("vpclmulqdq") && has("avx512_bitalg"))
    CHECK(active.starts_with("AVX3_"));
}
#endif
