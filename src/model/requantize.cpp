#include "model/requantize.hpp"

#include <atomic>
#include <cmath>
#include <memory>

#include "base/check.hpp"
#include "base/memory.hpp"
#include "base/try.hpp"
#include "kernels/aligned.hpp"
#include "kernels/matmul.hpp"
#include "kernels/quantize.hpp"
#include "kernels/thread_pool.hpp"

namespace troupe {
namespace {

using Buffers = std::vector<AlignedBuffer<std::byte>>;

constexpr double f16_max = 65504;

/// The largest magnitude that `type` can hold.
double largest(TensorType type) {
  switch (type) {
    case TensorType::f16: return f16_max;
    case TensorType::bf16: return 0x1.FEp127;
    // Scales and minima are f16.
    case TensorType::q8_0: return 127 * f16_max;
    case TensorType::q4_0: return 8 * f16_max;
    case TensorType::q5_0: return 16 * f16_max;
    case TensorType::q4_1:
    case TensorType::q5_1: return f16_max;
    case TensorType::q4_k:
    case TensorType::q5_k: return 63 * f16_max;
    case TensorType::q6_k: return 32 * 127 * f16_max;
    default: return HUGE_VAL;
  }
}

/// The number that GGUF files give a model of this type in general.file_type.
std::uint64_t file_type(TensorType type) {
  switch (type) {
    case TensorType::f16: return 1;
    case TensorType::q4_0: return 2;
    case TensorType::q4_1: return 3;
    case TensorType::q8_0: return 7;
    case TensorType::q5_0: return 8;
    case TensorType::q5_1: return 9;
    case TensorType::q4_k: return 14;  // "Q4_K - Small": all matrices alike
    case TensorType::q5_k: return 16;
    case TensorType::q6_k: return 18;
    case TensorType::bf16: return 32;
    default: return 0;
  }
}

std::string name_of(TensorType type) {
  return std::string(tensor_type_info(type).name);
}

bool becomes_f32(const TensorView& tensor) {
  return tensor.dims.size() < 2 || tensor.name == "position_embd.weight";
}

/// What llama.cpp leaves alone as well: small, and not read by the kernels of matrices.
bool keeps_type(std::string_view name) {
  if (name.ends_with("_norm.weight") || name == "token_types.weight") return true;
  return name.ends_with(".ffn_gate_inp.weight") || name.ends_with(".ssm_conv1d.weight") ||
         name.ends_with(".shortconv.conv.weight");
}

/// What takes the place of a type whose block is 256 where rows are no multiple of that: the choice of
/// llama.cpp, in blocks of 32 and with no fewer bits.
TensorType in_smaller_blocks(TensorType type) {
  switch (type) {
    case TensorType::q4_k: return TensorType::q5_0;
    case TensorType::q5_k: return TensorType::q5_1;
    case TensorType::q6_k: return TensorType::q8_0;
    default: return type;
  }
}

/// What a tensor becomes: `type`, one with smaller blocks, F32, or what it is.
TensorType target_of(const TensorView& tensor, TensorType type, std::vector<std::string>& notes) {
  if (becomes_f32(tensor)) return TensorType::f32;
  if (keeps_type(tensor.name)) return tensor.type;
  const std::uint64_t cols = tensor.dims.back(), block = tensor_type_info(type).block_elements;
  if (cols % block == 0) return type;
  const TensorType smaller = in_smaller_blocks(type);
  const bool fits = cols % tensor_type_info(smaller).block_elements == 0;
  notes.push_back("tensor " + tensor.name + (fits ? " becomes " : " stays ") +
                  name_of(fits ? smaller : tensor.type) + ": its rows of " + std::to_string(cols) +
                  " are no multiple of the " + name_of(type) + " block of " + std::to_string(block));
  return fits ? smaller : tensor.type;
}

/// The types that can be decoded, as people spell them.
std::string decodable_types() {
  std::string text;
  for (const TensorType type : matmul_types()) {
    if (!text.empty()) text += ", ";
    text += tensor_type_info(type).name;
  }
  return text;
}

enum class Trouble : std::uint8_t { none, not_finite, too_large };

Trouble trouble_in(std::span<const float> row, double limit) {
  for (const float value : row) {
    if (!std::isfinite(value)) return Trouble::not_finite;
    if (std::fabs(static_cast<double>(value)) > limit) return Trouble::too_large;
  }
  return Trouble::none;
}

Status recode(const TensorView& from, TensorType type, ThreadPool& pool, std::span<std::byte> out) {
  const std::size_t cols = from.dims.back();
  const std::size_t rows = from.elements() / cols;
  const std::size_t from_bytes = encoded_bytes(from.type, cols);
  const std::size_t to_bytes = encoded_bytes(type, cols);
  std::vector<AlignedBuffer<float>> buffers(pool.threads());
  for (auto& buffer : buffers) buffer.resize(cols);
  std::atomic<Trouble> trouble = Trouble::none;
  pool.parallel_for(rows, [&](std::size_t r, unsigned worker) {
    const std::span row(buffers[worker].data(), cols);
    decode_row(from.type, from.data.subspan(r * from_bytes, from_bytes), row);
    if (const Trouble found = trouble_in(row, largest(type)); found != Trouble::none) {
      trouble = found;
      return;
    }
    encode_row(type, row, out.subspan(r * to_bytes, to_bytes));
  });
  if (trouble == Trouble::none) return {};
  if (trouble == Trouble::not_finite) {
    return Error{Errc::bad_file, "tensor " + from.name + " holds values that are infinite or not a number"};
  }
  return Error{Errc::unsupported, "tensor " + from.name + " holds values too large for " + name_of(type)};
}

Metadata metadata_for(const Metadata& source, TensorType type) {
  Metadata out;
  out.insert("general.file_type", file_type(type));
  const bool quantized = tensor_type_info(type).block_elements > 1;
  if (quantized) out.insert("general.quantization_version", std::uint64_t{2});
  for (const auto& [key, value] : source) {
    if (key != "general.quantization_version") out.insert(key, value);  // the keys above are left alone
  }
  return out;
}

}  // namespace

Result<Checkpoint> requantize(const Checkpoint& source, TensorType type, std::uint32_t threads,
                              std::vector<std::string>& notes, const std::function<bool(double)>& progress) {
  TROUPE_CHECK(encoding_supported(type));
  Checkpoint out;
  out.format = source.format;
  out.file_bytes = source.file_bytes;
  out.metadata = metadata_for(source.metadata, type);

  std::uint64_t bytes = 0;
  for (const TensorView& tensor : source.tensors) {
    TensorView& copy = out.tensors.emplace_back(tensor);
    copy.type = target_of(tensor, type, notes);
    if (copy.type == tensor.type) continue;
    if (!decoding_supported(tensor.type)) {
      return Error{Errc::unsupported, "tensor " + tensor.name + " has type " + name_of(tensor.type) +
                                          ", which cannot be decoded; supported: " + decodable_types()};
    }
    bytes += tensor.elements() / tensor.dims.back() * encoded_bytes(copy.type, tensor.dims.back());
  }
  if (const std::uint64_t usable = usable_memory_bytes(); bytes > usable) {
    return Error{Errc::too_large, "the converted weights need " + std::to_string(bytes) +
                                      " bytes of memory, but this process may use only " +
                                      std::to_string(usable)};
  }

  ThreadPool pool(threads);
  const auto buffers = std::make_shared<Buffers>(source.tensors.size());
  for (std::size_t i = 0; i < source.tensors.size(); ++i) {
    const TensorView& from = source.tensors[i];
    TensorView& to = out.tensors[i];
    if (to.type != from.type) {
      AlignedBuffer<std::byte>& buffer = (*buffers)[i];
      buffer.resize(from.elements() / from.dims.back() * encoded_bytes(to.type, from.dims.back()));
      to.data = {buffer.data(), buffer.size()};
      TROUPE_TRY_STATUS(recode(from, to.type, pool, std::span(buffer.data(), buffer.size())));
    }
    if (progress && !progress(static_cast<double>(i + 1) / static_cast<double>(source.tensors.size()))) {
      return Error{Errc::cancelled, "converting was cancelled"};
    }
  }
  out.storage = std::make_shared<std::pair<std::shared_ptr<const void>, std::shared_ptr<Buffers>>>(
      source.storage, buffers);
  std::string duplicate;
  TROUPE_CHECK(out.build_index(duplicate));
  return out;
}

}  // namespace troupe
