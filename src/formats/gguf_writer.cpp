#include "formats/gguf_writer.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <type_traits>
#include <utility>

#include "base/atomic_file.hpp"
#include "base/try.hpp"
#include "base/utf8.hpp"
#include "formats/gguf_layout.hpp"
#include "formats/stoppable_write.hpp"

namespace troupe {
namespace {

using gguf::ValueType;

class Buffer {
 public:
  template <class T>
  void put(T value) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    std::byte raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    if constexpr (std::endian::native == std::endian::big) std::reverse(raw, raw + sizeof(T));
    bytes_.insert(bytes_.end(), raw, raw + sizeof(T));
  }
  void put(ValueType type) { put(static_cast<std::uint32_t>(type)); }
  void put(const std::string& text) {
    put(static_cast<std::uint64_t>(text.size()));
    const auto raw = std::as_bytes(std::span(text));
    bytes_.insert(bytes_.end(), raw.begin(), raw.end());
  }
  void pad(std::uint64_t alignment) {
    bytes_.resize(static_cast<std::size_t>(gguf::align_up(bytes_.size(), alignment)));
  }
  std::vector<std::byte>& bytes() { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

bool fits_narrow(std::uint64_t n) {
  return n <= std::numeric_limits<std::uint32_t>::max();
}
bool fits_narrow(std::int64_t n) {
  return n >= std::numeric_limits<std::int32_t>::min() && n <= std::numeric_limits<std::int32_t>::max();
}
bool fits_narrow(double x) {
  return !std::isfinite(x) || std::abs(x) <= static_cast<double>(std::numeric_limits<float>::max());
}

// The types that a number of type `Wide` is written as.
template <class Wide>
struct Types;
template <>
struct Types<std::uint64_t> {
  using Narrow = std::uint32_t;
  static constexpr ValueType narrow = ValueType::u32;
  static constexpr ValueType wide = ValueType::u64;
};
template <>
struct Types<std::int64_t> {
  using Narrow = std::int32_t;
  static constexpr ValueType narrow = ValueType::i32;
  static constexpr ValueType wide = ValueType::i64;
};
template <>
struct Types<double> {
  using Narrow = float;
  static constexpr ValueType narrow = ValueType::f32;
  static constexpr ValueType wide = ValueType::f64;
};

template <class Wide>
void put_number(Buffer& out, Wide value, bool narrow) {
  if (narrow) {
    out.put(static_cast<typename Types<Wide>::Narrow>(value));
  } else {
    out.put(value);
  }
}

template <class Wide>
void put_value(Buffer& out, Wide value) {
  const bool narrow = fits_narrow(value);
  out.put(narrow ? Types<Wide>::narrow : Types<Wide>::wide);
  put_number(out, value, narrow);
}

void put_value(Buffer& out, bool value) {
  out.put(ValueType::boolean);
  out.put(static_cast<std::uint8_t>(value ? 1 : 0));
}

void put_value(Buffer& out, const std::string& value) {
  out.put(ValueType::string);
  out.put(value);
}

template <class Wide>
void put_value(Buffer& out, const std::vector<Wide>& values) {
  const bool narrow = std::all_of(values.begin(), values.end(), [](Wide v) { return fits_narrow(v); });
  out.put(ValueType::array);
  out.put(narrow ? Types<Wide>::narrow : Types<Wide>::wide);
  out.put(static_cast<std::uint64_t>(values.size()));
  for (const Wide value : values) put_number(out, value, narrow);
}

void put_value(Buffer& out, const std::vector<std::string>& values) {
  out.put(ValueType::array);
  out.put(ValueType::string);
  out.put(static_cast<std::uint64_t>(values.size()));
  for (const std::string& value : values) out.put(value);
}

Error refused(std::string what) {
  return {Errc::bad_argument, "cannot write as GGUF: " + std::move(what)};
}

Status check_name(const char* kind, const std::string& name) {
  if (!name.empty() && name.size() <= gguf::key_bytes_max) return {};
  return refused(std::string(kind) + " " + in_quotes(name) + " has " + std::to_string(name.size()) +
                 " bytes; 1 to " + std::to_string(gguf::key_bytes_max) + " is allowed");
}

Status check_tensor(const TensorView& tensor) {
  TROUPE_TRY_STATUS(check_name("tensor name", tensor.name));
  const std::string name = "tensor " + in_quotes(tensor.name);
  const TensorTypeInfo info = tensor_type_info(tensor.type);
  if (info.block_elements == 0) {
    return refused(name + " has the unknown type " + std::to_string(static_cast<std::uint32_t>(tensor.type)));
  }
  if (tensor.dims.empty() || tensor.dims.size() > gguf::dims_max) {
    return refused(name + " has " + std::to_string(tensor.dims.size()) + " dimensions; 1 to 4 is allowed");
  }
  // Divides rather than multiplies: the shape may be nonsense, the data's size is real.
  std::uint64_t left = tensor.data.size() / info.block_bytes;
  bool fits = tensor.data.size() % info.block_bytes == 0 && tensor.dims.back() % info.block_elements == 0;
  for (std::size_t i = 0; i < tensor.dims.size() && fits; ++i) {
    const std::uint64_t d =
        i + 1 == tensor.dims.size() ? tensor.dims[i] / info.block_elements : tensor.dims[i];
    fits = d != 0 && left % d == 0;
    if (fits) left /= d;
  }
  if (fits && left == 1) return {};
  return refused(name + " of type " + std::string(info.name) + " has " + std::to_string(tensor.data.size()) +
                 " bytes of data, which is not what its shape takes");
}

Result<std::uint64_t> alignment_of(const Metadata& metadata) {
  auto alignment = metadata.get_u64(gguf::alignment_key);
  if (!alignment) return refused(alignment.error().message);
  const std::uint64_t value = alignment->value_or(gguf::alignment_default);
  if (gguf::is_alignment(value)) return value;
  return refused("general.alignment is " + std::to_string(value) + "; it must be a power of two from " +
                 std::to_string(gguf::alignment_min) + " to " + std::to_string(gguf::alignment_max));
}

// Everything before the tensor data, padded.
Result<Buffer> head(const Metadata& metadata, std::span<const TensorView> tensors, std::uint64_t alignment) {
  Buffer out;
  out.put(gguf::magic);
  out.put(std::uint32_t{3});
  out.put(static_cast<std::uint64_t>(tensors.size()));
  out.put(static_cast<std::uint64_t>(metadata.size()));
  for (const auto& [key, value] : metadata) {
    TROUPE_TRY_STATUS(check_name("metadata key", key));
    out.put(key);
    std::visit([&](const auto& v) { put_value(out, v); }, value);
  }
  std::set<std::string_view> names;
  std::uint64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    TROUPE_TRY_STATUS(check_tensor(tensor));
    if (!names.insert(tensor.name).second)
      return refused("tensor name " + in_quotes(tensor.name) + " occurs twice");
    out.put(tensor.name);
    out.put(static_cast<std::uint32_t>(tensor.dims.size()));
    for (auto dim = tensor.dims.rbegin(); dim != tensor.dims.rend(); ++dim) out.put(*dim);
    out.put(static_cast<std::uint32_t>(tensor.type));
    out.put(offset);
    offset = gguf::align_up(offset + tensor.data.size(), alignment);
  }
  out.pad(alignment);
  return out;
}

}  // namespace

Status write_gguf(const std::filesystem::path& path, const Metadata& metadata,
                  std::span<const TensorView> tensors, const std::function<bool()>& stop) {
  TROUPE_TRY(const std::uint64_t alignment, alignment_of(metadata));
  TROUPE_TRY(Buffer begin, head(metadata, tensors, alignment));
  TROUPE_TRY(AtomicFile file, AtomicFile::create(path));
  TROUPE_TRY_STATUS(file.write(begin.bytes()));
  const std::vector<std::byte> zeros(static_cast<std::size_t>(alignment));
  for (const TensorView& tensor : tensors) {
    const std::uint64_t size = tensor.data.size();
    TROUPE_TRY_STATUS(write_unless_stopped(file, tensor.data, stop));
    TROUPE_TRY_STATUS(
        file.write(std::span(zeros).first(static_cast<std::size_t>(gguf::align_up(size, alignment) - size))));
  }
  TROUPE_TRY_STATUS(unless_stopped(stop));
  return file.commit();
}

Result<std::vector<std::byte>> gguf_image(const Metadata& metadata, std::span<const TensorView> tensors) {
  TROUPE_TRY(const std::uint64_t alignment, alignment_of(metadata));
  TROUPE_TRY(Buffer out, head(metadata, tensors, alignment));
  for (const TensorView& tensor : tensors) {
    out.bytes().insert(out.bytes().end(), tensor.data.begin(), tensor.data.end());
    out.pad(alignment);
  }
  return std::move(out.bytes());
}

}  // namespace troupe
