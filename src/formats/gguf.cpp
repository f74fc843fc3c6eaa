#include "formats/gguf.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/try.hpp"
#include "formats/field_reader.hpp"
#include "formats/gguf_layout.hpp"

namespace troupe {
namespace {

// The least that an entry takes in the file; bounds the counts in the header.
constexpr std::uint64_t metadata_entry_bytes_min = 8 + 1 + 4 + 1;  // key, type, a one-byte value
constexpr std::uint64_t tensor_info_bytes_min =
    8 + 1 + 4 + 8 + 4 + 8;  // name, count, one dimension, type, offset

std::string num(std::uint64_t n) {
  return std::to_string(n);
}

class Parser {
 public:
  Parser(std::span<const std::byte> file, std::string_view name, bool shard)
      : in_(file, name), shard_(shard) {}

  Result<Checkpoint> run() {
    TROUPE_TRY_STATUS(read_header());
    TROUPE_TRY_STATUS(read_metadata());
    TROUPE_TRY_STATUS(check_metadata());
    TROUPE_TRY_STATUS(read_tensor_infos());
    TROUPE_TRY_STATUS(place_tensors());
    out_.file_bytes = in_.size();
    return std::move(out_);
  }

 private:
  Status read_header() {
    std::uint32_t magic = 0;
    std::uint32_t version = 0;
    if (!in_.read(magic) || magic != gguf::magic) return in_.bad("magic is not GGUF");
    if (!in_.read(version)) return in_.ends_in("version");
    if (version == 0x02000000 || version == 0x03000000) {
      return in_.error(Errc::unsupported,
                       "version is " + num(version >> 24) +
                           " in big-endian byte order; only little-endian files are supported");
    }
    if (version != 2 && version != 3) {
      return in_.error(Errc::unsupported, "version is " + num(version) + "; versions 2 and 3 are supported");
    }
    if (!in_.read(tensor_count_)) return in_.ends_in("tensor_count");
    if (!in_.read(metadata_count_)) return in_.ends_in("metadata_kv_count");
    TROUPE_TRY_STATUS(in_.check_count("tensor_count", tensor_count_, tensor_info_bytes_min));
    TROUPE_TRY_STATUS(in_.check_count("metadata_kv_count", metadata_count_, metadata_entry_bytes_min));
    out_.format = "GGUF v" + num(version);
    return {};
  }

  // The key or name of an entry: not empty, of sensible length.
  Result<std::string_view> read_name(const std::string& field) {
    TROUPE_TRY(const std::string_view name, gguf::read_string(in_, field));
    if (name.empty()) return in_.bad(field + " is empty");
    if (name.size() > gguf::key_bytes_max) {
      return in_.bad("the length of " + field + " is " + num(name.size()) + "; at most " +
                     num(gguf::key_bytes_max) + " is allowed");
    }
    return name;
  }

  Status read_metadata() {
    for (std::uint64_t i = 0; i < metadata_count_; ++i) {
      TROUPE_TRY(const std::string_view key, read_name("metadata key " + num(i)));
      std::uint32_t type = 0;
      if (!in_.read(type)) return in_.ends_in("the value type of metadata key " + in_quotes(key));
      TROUPE_TRY(MetadataValue value, gguf::read_value(in_, key, type));
      if (!out_.metadata.insert(std::string(key), std::move(value))) {
        return in_.bad("metadata key " + in_quotes(key) + " occurs twice");
      }
    }
    return {};
  }

  // The keys that say how to read the rest.
  Status check_metadata() {
    auto alignment = out_.metadata.get_u64(gguf::alignment_key);
    if (!alignment) return in_.bad(alignment.error().message);
    alignment_ = alignment->value_or(gguf::alignment_default);
    if (!gguf::is_alignment(alignment_)) {
      return in_.bad("general.alignment is " + num(alignment_) + "; it must be a power of two from " +
                     num(gguf::alignment_min) + " to " + num(gguf::alignment_max));
    }
    if (shard_) return {};
    auto parts = out_.metadata.get_u64("split.count");
    if (!parts) return in_.bad(parts.error().message);
    if (parts->value_or(1) > 1) {
      return in_.error(Errc::unsupported, "split.count is " + num(**parts) +
                                              ": this is one part of a split model, which needs the others");
    }
    return {};
  }

  Status read_tensor_infos() {
    TROUPE_TRY_STATUS(in_.check_count("tensor_count", tensor_count_, tensor_info_bytes_min));
    out_.tensors.reserve(static_cast<std::size_t>(tensor_count_));
    offsets_.reserve(static_cast<std::size_t>(tensor_count_));
    for (std::uint64_t i = 0; i < tensor_count_; ++i) TROUPE_TRY_STATUS(read_tensor_info(i));
    std::string duplicate;
    if (!out_.build_index(duplicate)) return in_.bad("tensor name " + in_quotes(duplicate) + " occurs twice");
    return {};
  }

  Status read_tensor_info(std::uint64_t i) {
    TROUPE_TRY(const std::string_view name, read_name("the name of tensor " + num(i)));
    const std::string of_tensor = " of tensor " + in_quotes(name);
    TensorView view;
    view.name = std::string(name);
    TROUPE_TRY_STATUS(read_dims(of_tensor, view.dims));

    std::uint32_t type = 0;
    if (!in_.read(type)) return in_.ends_in("the type" + of_tensor);
    view.type = static_cast<TensorType>(type);
    const TensorTypeInfo info = tensor_type_info(view.type);
    if (info.block_elements == 0) {
      return in_.error(Errc::unsupported,
                       "the type" + of_tensor + " is " + num(type) + ", no known tensor type");
    }
    if (view.dims.back() % info.block_elements != 0) {
      return in_.bad("dimension 0" + of_tensor + " is " + num(view.dims.back()) + ", not a multiple of " +
                     num(info.block_elements) + " as its type " + std::string(info.name) + " needs");
    }

    std::uint64_t offset = 0;
    if (!in_.read(offset)) return in_.ends_in("the offset" + of_tensor);
    if (offset % alignment_ != 0) {
      return in_.bad("the offset" + of_tensor + " is " + num(offset) + ", not a multiple of the alignment " +
                     num(alignment_));
    }
    out_.tensors.push_back(std::move(view));
    offsets_.push_back(offset);
    return {};
  }

  // Outermost first, the other way round than in the file.
  Status read_dims(const std::string& of_tensor, std::vector<std::uint64_t>& dims) {
    std::uint32_t count = 0;
    if (!in_.read(count)) return in_.ends_in("n_dimensions" + of_tensor);
    if (count < 1 || count > gguf::dims_max) {
      return in_.bad("n_dimensions" + of_tensor + " is " + num(count) + "; 1 to 4 is allowed");
    }
    dims.resize(count);
    std::uint64_t elements = 1;
    for (std::uint32_t d = 0; d < count; ++d) {
      std::uint64_t& dim = dims[count - 1 - d];
      if (!in_.read(dim)) return in_.ends_in("dimension " + num(d) + of_tensor);
      if (dim == 0) return in_.bad("dimension " + num(d) + of_tensor + " is 0");
      if (dim > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / elements) {
        return in_.bad("dimension " + num(d) + of_tensor + " is " + num(dim) +
                       ", with which the number of elements exceeds 63 bits");
      }
      elements *= dim;
    }
    return {};
  }

  Status place_tensors() {
    if (out_.tensors.empty()) return {};  // a vocabulary alone; such files have no data section
    const std::uint64_t begin = gguf::align_up(in_.offset(), alignment_);
    if (begin > in_.size()) return in_.ends_in("the padding before the tensor data");
    const auto data = in_.file().subspan(static_cast<std::size_t>(begin));

    for (std::size_t i = 0; i < out_.tensors.size(); ++i) {
      TensorView& tensor = out_.tensors[i];
      const TensorTypeInfo info = tensor_type_info(tensor.type);
      const std::uint64_t blocks = tensor.elements() / info.block_elements;
      const std::uint64_t room = offsets_[i] <= data.size() ? data.size() - offsets_[i] : 0;
      if (blocks > room / info.block_bytes) {
        return in_.bad("tensor " + in_quotes(tensor.name) + " at offset " + num(offsets_[i]) + " has " +
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
        return in_.bad("the offset of tensor " + in_quotes(tensor->name) + " is " + num(offset) +
                       ", within another tensor's data, which ends at " + num(end));
      }
      end = offset + tensor->data.size();
    }
    const std::uint64_t padded = gguf::align_up(end, alignment_);
    if (data.size() > end && data.size() < padded) {
      return in_.bad("the file ends within the padding behind its last tensor, " + num(padded - data.size()) +
                     " bytes short");
    }
    return {};
  }

  FieldReader in_;
  bool shard_;  // may be one of several files
  std::uint64_t tensor_count_ = 0;
  std::uint64_t metadata_count_ = 0;
  std::uint64_t alignment_ = gguf::alignment_default;
  std::vector<std::uint64_t> offsets_;  // parallel to out_.tensors, from the begin of the data
  Checkpoint out_;
};

}  // namespace

Result<Checkpoint> read_gguf(std::span<const std::byte> file, std::string_view name,
                             std::shared_ptr<const void> storage) {
  auto result = Parser(file, name, false).run();
  if (result) result->storage = std::move(storage);
  return result;
}

Result<Checkpoint> read_gguf_shard(std::span<const std::byte> file, std::string_view name,
                                   std::shared_ptr<const void> storage) {
  auto result = Parser(file, name, true).run();
  if (result) result->storage = std::move(storage);
  return result;
}

}  // namespace troupe
