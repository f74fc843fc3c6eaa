// Any bytes as a SMND checkpoint; what the reader accepts is described and written again.

#include <algorithm>
#include <cstdlib>

#include "formats/describe.hpp"
#include "formats/smnd.hpp"
#include "tests/fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto checkpoint = troupe::read_smnd(bytes, "input", std::nullopt, nullptr);
  if (!checkpoint) return 0;
  troupe::describe(*checkpoint, true);
  troupe::describe_json(*checkpoint, true);
  // What was read comes back with the same bytes.
  const auto image = troupe::smnd_image(*checkpoint);
  if (!image || !std::equal(image->begin(), image->end(), bytes.begin(), bytes.end())) std::abort();
  return 0;
}
