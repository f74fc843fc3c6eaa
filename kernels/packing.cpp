#include "kernels/packing.hpp"

#include <array>
#include <cstring>

#include "base/check.hpp"

namespace troupe {
namespace {

constexpr std::size_t quad = 4 * group_rows;  // bytes

std::uint32_t load(const std::byte* from) {
  std::uint32_t value = 0;
  std::memcpy(&value, from, sizeof value);
  return value;
}
void store(std::uint32_t value, std::byte* to) {
  std::memcpy(to, &value, sizeof value);
}
constexpr std::uint32_t each(std::uint32_t byte) {
  return byte * 0x01010101u;
}

/// Four columns at a time, of the row at out.
void put_codes(const std::uint32_t* words, std::size_t bits, std::byte* out) {
  if (bits == 8) {
    for (std::size_t j = 0; j < 8; ++j) store(words[j], out + j * quad);
    return;
  }
  std::size_t shift = 0;
  if ((bits & 4) != 0) {
    for (std::size_t v = 0; v < 4; ++v, out += quad)
      store((words[v] & each(15)) | (words[v + 4] & each(15)) << 4, out);
    shift += 4;
  }
  if ((bits & 2) != 0) {
    for (std::size_t v = 0; v < 2; ++v, out += quad) {
      std::uint32_t packed = 0;
      for (std::size_t i = 0; i < 4; ++i) packed |= (words[4 * v + i] >> shift & each(3)) << 2 * i;
      store(packed, out);
    }
    shift += 2;
  }
  if ((bits & 1) != 0) {
    std::uint32_t packed = 0;
    for (std::size_t i = 0; i < 8; ++i) packed |= (words[i] >> shift & each(1)) << i;
    store(packed, out);
  }
}

void get_codes(const std::byte* in, std::size_t bits, std::uint32_t* words) {
  if (bits == 8) {
    for (std::size_t j = 0; j < 8; ++j) words[j] = load(in + j * quad);
    return;
  }
  std::fill_n(words, 8, 0);
  std::size_t shift = 0;
  if ((bits & 4) != 0) {
    for (std::size_t v = 0; v < 4; ++v, in += quad) {
      words[v] = load(in) & each(15);
      words[v + 4] = load(in) >> 4 & each(15);
    }
    shift += 4;
  }
  if ((bits & 2) != 0) {
    for (std::size_t j = 0; j < 8; ++j)
      words[j] |= (load(in + j / 4 * quad) >> 2 * (j % 4) & each(3)) << shift;
    in += 2 * quad;
    shift += 2;
  }
  if ((bits & 1) != 0)
    for (std::size_t j = 0; j < 8; ++j) words[j] |= (load(in) >> j & each(1)) << shift;
}

/// Bytes of the packed fields; the sub-blocks follow.
std::size_t header_bytes(const BlockCodec& codec) {
  std::size_t bytes = 0;
  for (const BlockField& field : codec.fields) bytes += field.bytes * group_rows;
  return bytes;
}

}  // namespace

void pack_blocks(const BlockCodec& codec, const std::byte* rows, std::size_t row_bytes, std::size_t count,
                 std::size_t cols, std::byte* group) {
  const std::size_t block_bytes = codec.bytes * group_rows, header = header_bytes(codec);
  if (count < group_rows) std::memset(group, 0, cols / codec.cols * block_bytes);
  // Block by block, so that what is written stays near; sixteen rows are read side by side.
  for (std::size_t b = 0; b < cols / codec.cols; ++b, group += block_bytes)
    for (std::size_t r = 0; r < count; ++r) {
      const std::byte* block = rows + r * row_bytes + b * codec.bytes;
      std::byte* out = group;
      for (const BlockField& field : codec.fields) {
        std::memcpy(out + r * field.bytes, block + field.offset, field.bytes);
        out += field.bytes * group_rows;
      }
      out = group + header + 4 * r;
      for (std::size_t sub = 0; sub < codec.cols / 32; ++sub, out += codec.code_bits * quad) {
        std::uint32_t words[8];
        codec.read_codes(block, sub, words);
        put_codes(words, codec.code_bits, out);
      }
    }
}

void read_packed_row(const BlockCodec& codec, const std::byte* group, std::size_t row, std::size_t cols,
                     float* out) {
  const std::size_t block_bytes = codec.bytes * group_rows;
  for (std::size_t b = 0; b < cols / codec.cols; ++b, group += block_bytes) {
    // The fields go back to their places in a block of the file, where read_scales looks for them.
    std::array<std::byte, 256> block{};
    const std::byte* in = group;
    for (const BlockField& field : codec.fields) {
      std::memcpy(block.data() + field.offset, in + row * field.bytes, field.bytes);
      in += field.bytes * group_rows;
    }
    in += 4 * row;
    for (std::size_t sub = 0; sub < codec.cols / 32; ++sub, in += codec.code_bits * quad, out += 32) {
      std::uint32_t words[8];
      get_codes(in, codec.code_bits, words);
      decode_codes(codec, words, codec.read_scales(block.data(), sub), out);
    }
  }
}

}  // namespace troupe
