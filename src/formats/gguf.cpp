#include "formats/gguf.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/byte_reader.hpp"
#include "base/try.hpp"
#include "base/utf8.hpp"

namespace troupe {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kAlignmentDefault = 32;
constexpr std::uint64_t kAlignmentMin = 8;        // what the format asks for, and what 64-bit elements need
constexpr std::uint64_t kAlignmentMax = 1 << 20;  // beyond the largest page size in use
constexpr std::uint64_t kKeyBytesMax = 65535;     // the format's own limit
constexpr std::uint32_t kDimsMax = 4;

// The least that an entry takes in the file; bounds the counts in the header.
constexpr std::uint64_t kMetadataEntryBytesMin = 8 + 1 + 4 + 1;  // key, type, a one-byte value
constexpr std::uint64_t kTensorInfoBytesMin =
    8 + 1 + 4 + 8 + 4 + 8;  // name, count, one dimension, type, offset

enum ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

// Bytes that a value takes at least: exactly, except for strings (their length field) and arrays.
std::uint64_t value_bytes_min(std::uint32_t type) {
  switch (type) {
    case u8:
    case i8:
    case boolean:
      return 1;
    case u16:
    case i16:
      return 2;
    case u32:
    case i32:
    case f32:
      return 4;
    case string:
    case u64:
    case i64:
    case f64:
      return 8;
    case array:
      return 12;
    default:
      return 0;
  }
}

std::uint64_t align_up(std::uint64_t n, std::uint64_t alignment) {
  return (n + alignment - 1) / alignment * alignment;
}

std::string num(std::uint64_t n) {
  return std::to_string(n);
}

class Parser {
 public:
  Parser(std::span<const std::byte> file, std::string_view name) : reader_(file), file_(file), name_(name) {}

  Result<Checkpoint> run() {
    TROUPE_TRY_STATUS(read_header());
    TROUPE_TRY_STATUS(read_metadata());
    TROUPE_TRY_STATUS(check_metadata());
    TROUPE_TRY_STATUS(read_tensor_infos());
    TROUPE_TRY_STATUS(place_tensors());
    out_.file_bytes = file_.size();
    return std::move(out_);
  }

 private:
  Error error(Errc code, const std::string& what) const {
    return {code, in_quotes(name_) + ": " + what + " (file size " + num(file_.size()) + " bytes)"};
  }
  Error bad(const std::string& what) const { return error(Errc::bad_file, what); }
  Error ends_in(const std::string& field) const {
    return bad("the file ends within " + field + " at byte " + num(reader_.offset()));
  }

  Status read_header() {
    std::uint32_t magic = 0;
    std::uint32_t version = 0;
    if (!reader_.read(magic) || magic != kMagic) return bad("magic is not GGUF");
    if (!reader_.read(version)) return ends_in("version");
    if (version == 0x02000000 || version == 0x03000000) {
      return error(Errc::unsupported,
                   "big-endian GGUF (version field 0x0" + num(version >> 24) + "000000) is not supported");
    }
    if (version == 1) return error(Errc::unsupported, "version is 1; versions 2 and 3 are supported");
    if (version != 2 && version != 3) {
      return error(Errc::unsupported, "version is " + num(version) + "; versions 2 and 3 are supported");
    }
    if (!reader_.read(tensor_count_)) return ends_in("tensor_count");
    if (!reader_.read(metadata_count_)) return ends_in("metadata_kv_count");
    TROUPE_TRY_STATUS(check_count("tensor_count", tensor_count_, kTensorInfoBytesMin));
    TROUPE_TRY_STATUS(check_count("metadata_kv_count", metadata_count_, kMetadataEntryBytesMin));
    out_.format = "GGUF v" + num(version);
    return {};
  }

  // A count is believed only as far as the rest of the file could hold that many entries.
  Status check_count(const std::string& field, std::uint64_t count, std::uint64_t entry_bytes_min) const {
    if (count <= reader_.remaining() / entry_bytes_min) return {};
    return bad(field + " is " + num(count) + ", but only " + num(reader_.remaining()) +
               " bytes follow, and each takes " + num(entry_bytes_min) + " or more");
  }

  Result<std::string_view> read_string(const std::string& field) {
    std::uint64_t length = 0;
    if (!reader_.read(length)) return ends_in("the length of " + field);
    std::span<const std::byte> bytes;
    if (!reader_.read_bytes(length, bytes)) {
      return bad("the length of " + field + " is " + num(length) + ", but only " + num(reader_.remaining()) +
                 " bytes follow");
    }
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  // The key or name of an entry: not empty, of sensible length.
  Result<std::string_view> read_name(const std::string& field) {
    TROUPE_TRY(const std::string_view name, read_string(field));
    if (name.empty()) return bad(field + " is empty");
    if (name.size() > kKeyBytesMax) {
      return bad("the length of " + field + " is " + num(name.size()) + "; at most " + num(kKeyBytesMax) +
                 " is allowed");
    }
    return name;
  }

  Status read_metadata() {
    for (std::uint64_t i = 0; i < metadata_count_; ++i) {
      TROUPE_TRY(const std::string_view key, read_name("metadata key " + num(i)));
      std::uint32_t type = 0;
      if (!reader_.read(type)) return ends_in("the type of metadata key " + in_quotes(key));
      TROUPE_TRY(MetadataValue value, read_value(key, type));
      if (!out_.metadata.insert(std::string(key), std::move(value))) {
        return bad("metadata key " + in_quotes(key) + " occurs twice");
      }
    }
    return {};
  }

  // `Stored` from the file, widened to `Wide`.
  template <class Stored, class Wide>
  Result<MetadataValue> read_number(std::string_view key) {
    Stored value = 0;
    if (!reader_.read(value)) return ends_in("the value of metadata key " + in_quotes(key));
    return MetadataValue(static_cast<Wide>(value));
  }

  Result<MetadataValue> read_value(std::string_view key, std::uint32_t type) {
    switch (type) {
      case u8:
        return read_number<std::uint8_t, std::uint64_t>(key);
      case i8:
        return read_number<std::int8_t, std::int64_t>(key);
      case u16:
        return read_number<std::uint16_t, std::uint64_t>(key);
      case i16:
        return read_number<std::int16_t, std::int64_t>(key);
      case u32:
        return read_number<std::uint32_t, std::uint64_t>(key);
      case i32:
        return read_number<std::int32_t, std::int64_t>(key);
      case f32:
        return read_number<float, double>(key);
      case u64:
        return read_number<std::uint64_t, std::uint64_t>(key);
      case i64:
        return read_number<std::int64_t, std::int64_t>(key);
      case f64:
        return read_number<double, double>(key);
      case boolean: {
        std::uint8_t value = 0;
        if (!reader_.read(value)) return ends_in("the value of metadata key " + in_quotes(key));
        if (value > 1)
          return bad("the boolean metadata key " + in_quotes(key) + " is " + num(value) + ", not 0 or 1");
        return MetadataValue(value == 1);
      }
      case string: {
        TROUPE_TRY(const std::string_view text, read_string("the value of metadata key " + in_quotes(key)));
        return MetadataValue(std::string(text));
      }
      case array:
        return read_array(key);
      default:
        return bad("metadata key " + in_quotes(key) + " has value type " + num(type) + "; known are 0 to 12");
    }
  }

  template <class Stored, class Wide>
  Result<MetadataValue> read_numbers(std::string_view key, std::uint64_t count) {
    std::vector<Wide> values;
    values.reserve(static_cast<std::size_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) {
      Stored value = 0;
      if (!reader_.read(value)) return ends_in("element " + num(i) + " of metadata key " + in_quotes(key));
      values.push_back(static_cast<Wide>(value));
    }
    return MetadataValue(std::move(values));
  }

  Result<MetadataValue> read_array(std::string_view key) {
    const std::string of_key = " of metadata key " + in_quotes(key);
    std::uint32_t type = 0;
    std::uint64_t count = 0;
    if (!reader_.read(type)) return ends_in("the array type" + of_key);
    if (!reader_.read(count)) return ends_in("the array count" + of_key);
    if (type == array)
      return bad("metadata key " + in_quotes(key) + " is an array of arrays, which no known key is");
    if (value_bytes_min(type) == 0)
      return bad("the array type" + of_key + " is " + num(type) + "; known are 0 to 12");
    TROUPE_TRY_STATUS(check_count("the array count" + of_key, count, value_bytes_min(type)));
    switch (type) {
      case u8:
        return read_numbers<std::uint8_t, std::uint64_t>(key, count);
      case i8:
        return read_numbers<std::int8_t, std::int64_t>(key, count);
      case u16:
        return read_numbers<std::uint16_t, std::uint64_t>(key, count);
      case i16:
        return read_numbers<std::int16_t, std::int64_t>(key, count);
      case u32:
        return read_numbers<std::uint32_t, std::uint64_t>(key, count);
      case i32:
        return read_numbers<std::int32_t, std::int64_t>(key, count);
      case f32:
        return read_numbers<float, double>(key, count);
      case u64:
        return read_numbers<std::uint64_t, std::uint64_t>(key, count);
      case i64:
        return read_numbers<std::int64_t, std::int64_t>(key, count);
      case f64:
        return read_numbers<double, double>(key, count);
      case boolean:
        return read_booleans(key, count);
      default:
        return read_strings(key, count);
    }
  }

  Result<MetadataValue> read_booleans(std::string_view key, std::uint64_t count) {
    auto result = read_numbers<std::uint8_t, std::uint64_t>(key, count);
    if (!result) return result;
    for (const std::uint64_t value : std::get<std::vector<std::uint64_t>>(*result)) {
      if (value > 1) {
        return bad("the boolean array of metadata key " + in_quotes(key) + " holds " + num(value) +
                   ", not 0 or 1");
      }
    }
    return result;
  }

  Result<MetadataValue> read_strings(std::string_view key, std::uint64_t count) {
    std::vector<std::string> values;
    values.reserve(static_cast<std::size_t>(count));
    const std::string field = "an element of metadata key " + in_quotes(key);
    for (std::uint64_t i = 0; i < count; ++i) {
      TROUPE_TRY(const std::string_view text, read_string(field));
      values.emplace_back(text);
    }
    return MetadataValue(std::move(values));
  }

  // The keys that say how to read the rest.
  Status check_metadata() {
    auto alignment = out_.metadata.get_u64("general.alignment");
    if (!alignment) return bad(alignment.error().message);
    alignment_ = alignment->value_or(kAlignmentDefault);
    if (alignment_ < kAlignmentMin || alignment_ > kAlignmentMax || (alignment_ & (alignment_ - 1)) != 0) {
      return bad("general.alignment is " + num(alignment_) + "; it must be a power of two from " +
                 num(kAlignmentMin) + " to " + num(kAlignmentMax));
    }
    auto parts = out_.metadata.get_u64("split.count");
    if (!parts) return bad(parts.error().message);
    if (parts->value_or(1) > 1) {
      return error(Errc::unsupported,
                   "split.count is " + num(**parts) +
                       ": this is one part of a split model; join the parts first, for example "
                       "with llama-gguf-split --merge");
    }
    return {};
  }

  Status read_tensor_infos() {
    TROUPE_TRY_STATUS(check_count("tensor_count", tensor_count_, kTensorInfoBytesMin));
    out_.tensors.reserve(static_cast<std::size_t>(tensor_count_));
    offsets_.reserve(static_cast<std::size_t>(tensor_count_));
    for (std::uint64_t i = 0; i < tensor_count_; ++i) TROUPE_TRY_STATUS(read_tensor_info(i));
    std::string duplicate;
    if (!out_.build_index(duplicate)) return bad("tensor name " + in_quotes(duplicate) + " occurs twice");
    return {};
  }

  Status read_tensor_info(std::uint64_t i) {
    TROUPE_TRY(const std::string_view name, read_name("the name of tensor " + num(i)));
    const std::string tensor = "tensor " + in_quotes(name);
    std::uint32_t dims = 0;
    if (!reader_.read(dims)) return ends_in("n_dimensions of " + tensor);
    if (dims < 1 || dims > kDimsMax)
      return bad("n_dimensions of " + tensor + " is " + num(dims) + "; 1 to 4 is allowed");

    TensorView view;
    view.name = std::string(name);
    view.dims.resize(dims);
    std::uint64_t elements = 1;
    for (std::uint32_t d = 0; d < dims; ++d) {
      std::uint64_t& dim = view.dims[dims - 1 - d];  // innermost comes first in the file
      if (!reader_.read(dim)) return ends_in("dimension " + num(d) + " of " + tensor);
      if (dim == 0) return bad("dimension " + num(d) + " of " + tensor + " is 0");
      if (dim > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / elements) {
        return bad("dimension " + num(d) + " of " + tensor + " is " + num(dim) +
                   ", with which the number of elements exceeds 63 bits");
      }
      elements *= dim;
    }

    std::uint32_t type = 0;
    if (!reader_.read(type)) return ends_in("the type of " + tensor);
    view.type = static_cast<TensorType>(type);
    const TensorTypeInfo info = tensor_type_info(view.type);
    if (info.block_elements == 0) {
      return error(Errc::unsupported,
                   "the type of " + tensor + " is " + num(type) + ", which is not a known tensor type");
    }
    if (view.dims.back() % info.block_elements != 0) {
      return bad("dimension 0 of " + tensor + " is " + num(view.dims.back()) + ", not a multiple of " +
                 num(info.block_elements) + " as its type " + std::string(info.name) + " needs");
    }

    std::uint64_t offset = 0;
    if (!reader_.read(offset)) return ends_in("the offset of " + tensor);
    if (offset % alignment_ != 0) {
      return bad("the offset of " + tensor + " is " + num(offset) + ", not a multiple of general.alignment " +
                 num(alignment_));
    }
    out_.tensors.push_back(std::move(view));
    offsets_.push_back(offset);
    return {};
  }

  Status place_tensors() {
    if (out_.tensors.empty()) return {};  // a vocabulary alone; such files have no data section
    const std::uint64_t begin = align_up(reader_.offset(), alignment_);
    if (begin > file_.size()) return ends_in("the padding before the tensor data");
    const auto data = file_.subspan(static_cast<std::size_t>(begin));

    for (std::size_t i = 0; i < out_.tensors.size(); ++i) {
      TensorView& tensor = out_.tensors[i];
      const TensorTypeInfo info = tensor_type_info(tensor.type);
      const std::uint64_t blocks = tensor.elements() / info.block_elements;
      const std::uint64_t room = offsets_[i] <= data.size() ? data.size() - offsets_[i] : 0;
      if (blocks > room / info.block_bytes) {
        return bad("tensor " + in_quotes(tensor.name) + " at offset " + num(offsets_[i]) + " has " +
                   num(tensor.elements()) + " elements of type " + std::string(info.name) +
                   ", which reach past the end of the " + num(data.size()) + " bytes of tensor data");
      }
      tensor.data = data.subspan(static_cast<std::size_t>(offsets_[i]),
                                 static_cast<std::size_t>(blocks * info.block_bytes));
    }
    return check_overlap(data);
  }

  // Tensors that share bytes would let a small file ask for much memory once weights are repacked.
  Status check_overlap(std::span<const std::byte> data) const {
    std::vector<const TensorView*> order;
    order.reserve(out_.tensors.size());
    for (const TensorView& tensor : out_.tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(),
              [](const TensorView* a, const TensorView* b) { return a->data.data() < b->data.data(); });
    std::uint64_t end = 0;  // of the tensors seen so far
    for (const TensorView* tensor : order) {
      const auto offset = static_cast<std::uint64_t>(tensor->data.data() - data.data());
      if (offset < end) {
        return bad("the offset of tensor " + in_quotes(tensor->name) + " is " + num(offset) +
                   ", where another tensor's data lies (up to " + num(end) + ")");
      }
      end = offset + tensor->data.size();
    }
    if (data.size() > end && data.size() < align_up(end, alignment_)) {
      return bad("the file ends within the padding behind its last tensor, " +
                 num(align_up(end, alignment_) - data.size()) + " bytes short");
    }
    return {};
  }

  ByteReader reader_;
  std::span<const std::byte> file_;
  std::string_view name_;
  std::uint64_t tensor_count_ = 0;
  std::uint64_t metadata_count_ = 0;
  std::uint64_t alignment_ = kAlignmentDefault;
  std::vector<std::uint64_t> offsets_;  // parallel to out_.tensors, from the begin of the data
  Checkpoint out_;
};

}  // namespace

Result<Checkpoint> read_gguf(std::span<const std::byte> file, std::string_view name,
                             std::shared_ptr<const void> storage) {
  auto result = Parser(file, name).run();
  if (result) result->storage = std::move(storage);
  return result;
}

}  // namespace troupe
