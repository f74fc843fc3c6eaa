// Any bytes as a GGUF file; what is accepted is described, which reads every field.

#include "formats/describe.hpp"
#include "formats/gguf.hpp"
#include "tests/fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto checkpoint = troupe::read_gguf(std::as_bytes(std::span(data, size)), "input", nullptr);
  if (checkpoint) {
    troupe::describe(*checkpoint, true);
    troupe::describe_json(*checkpoint, true);
  }
  return 0;
}
