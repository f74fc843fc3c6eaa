#include "tokenizer/byte_alphabet.hpp"

#include <array>

#include "base/utf8.hpp"

namespace troupe {
namespace {

constexpr bool is_its_own_character(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::size_t others = 68;

constexpr std::array<unsigned char, others> other_bytes() {
  std::array<unsigned char, others> bytes{};
  std::size_t n = 0;
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (!is_its_own_character(byte)) bytes[n++] = static_cast<unsigned char>(byte);
  }
  return bytes;
}

constexpr auto other = other_bytes();

}  // namespace

std::optional<std::string> spelled_bytes(std::string_view spelling) {
  std::string bytes;
  bytes.reserve(spelling.size());
  while (!spelling.empty()) {
    const Utf8Step step = utf8_step(spelling);
    if (!step.valid) return std::nullopt;
    if (step.code < 256 && is_its_own_character(step.code)) {
      bytes += static_cast<char>(step.code);
    } else if (step.code >= 256 && step.code - 256 < others) {
      bytes += static_cast<char>(other[step.code - 256]);
    } else {
      return std::nullopt;
    }
    spelling.remove_prefix(step.bytes);
  }
  return bytes;
}

}  // namespace troupe
