// Any bytes as a llama2.c checkpoint and its tokenizer: the first two bytes are the tokenizer's length.

#include <algorithm>

#include "formats/describe.hpp"
#include "formats/llama2c.hpp"
#include "tests/fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto rest = std::as_bytes(std::span(data + 2, size - 2));
  const std::size_t split = std::min<std::size_t>(data[0] + 256U * data[1], rest.size());
  const auto checkpoint =
      troupe::read_llama2c(rest.subspan(split), "input", rest.first(split), "tokenizer", nullptr);
  if (checkpoint) {
    troupe::describe(*checkpoint, true);
    troupe::describe_json(*checkpoint, true);
  }
  return 0;
}
