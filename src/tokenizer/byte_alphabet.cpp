#include "tokenizer/byte_alphabet.hpp"

#include <array>

#include "base/utf8.hpp"

namespace troupe {
namespace {

constexpr bool is_its_own_character(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr unsigned others = 68;

/// The byte of each character, or -1.
constexpr std::array<short, 256 + others> alphabet() {
  std::array<short, 256 + others> bytes{};
  unsigned other = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    bytes[byte] = -1;
    bytes[is_its_own_character(byte) ? byte : other++] = static_cast<short>(byte);
  }
  return bytes;
}

constexpr auto byte_of = alphabet();

}  // namespace

bool append_spelled_bytes(std::string& bytes, std::string_view spelling) {
  while (!spelling.empty()) {
    const Utf8Step step = utf8_step(spelling);
    if (!step.valid || step.code >= byte_of.size() || byte_of[step.code] < 0) return false;
    bytes += static_cast<char>(byte_of[step.code]);
    spelling.remove_prefix(step.bytes);
  }
  return true;
}

}  // namespace troupe
