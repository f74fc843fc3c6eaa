#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <type_traits>
#include <utility>

#include "base/atomic_file.hpp"
#include "base/try.hpp"
#include "base/utf8.hpp"
#include "formats/finite.hpp"
#include "formats/smnd.hpp"
#include "formats/smnd_metadata.hpp"
#include "formats/stoppable_write.hpp"

namespace troupe {
namespace {

Error refused(std::string what) {
  return {Errc::unsupported, "cannot write as SMND: " + std::move(what)};
}

template <class T>
void put(std::vector<std::byte>& out, T value) {
  static_assert(std::is_integral_v<T>);
  std::byte raw[sizeof(T)];
  std::memcpy(raw, &value, sizeof(T));
  if constexpr (std::endian::native == std::endian::big) std::reverse(raw, raw + sizeof(T));
  out.insert(out.end(), raw, raw + sizeof(T));
}

void put(std::vector<std::byte>& out, std::string_view text) {
  const auto raw = std::as_bytes(std::span(text));
  out.insert(out.end(), raw.begin(), raw.end());
}

/// A model taken apart for the format: everything is checked.
struct Image {
  std::vector<std::byte> head;                     // up to the first parameter
  std::vector<smnd::Parameter> parameters;         // in the file's order
  std::vector<std::span<const std::byte>> values;  // of parameters
};

Result<smnd::Config> read_config(const Metadata& m) {
  TROUPE_TRY(const std::string architecture, m.need_string("general.architecture"));
  if (architecture != "gpt2") {
    return refused("general.architecture is " + in_quotes(architecture) +
                   "; the format is for GPT-2-style models only (architecture gpt2)");
  }
  TROUPE_TRY(const auto eps, m.get_f64("gpt2.attention.layer_norm_epsilon"));
  if (eps && std::abs(*eps - smnd::kNormEps) > 1e-9) {
    return refused("gpt2.attention.layer_norm_epsilon is " + std::to_string(*eps) +
                   "; the format means 0.00001 always");
  }
  smnd::Config config;
  TROUPE_TRY(config.layers, m.need_u64("gpt2.block_count"));
  TROUPE_TRY(config.context, m.need_u64("gpt2.context_length"));
  TROUPE_TRY(config.width, m.need_u64("gpt2.embedding_length"));
  TROUPE_TRY(config.heads, m.need_u64("gpt2.attention.head_count"));
  if (config.layers > smnd::kParametersMax / 12 || config.parameters() > smnd::kParametersMax) {
    return refused("gpt2.block_count is " + std::to_string(config.layers) + "; the format allows " +
                   std::to_string(smnd::kParametersMax) + " parameters, 12 for each layer");
  }
  return config;
}

Result<std::span<const std::byte>> values_of(const Checkpoint& model, const smnd::Parameter& parameter) {
  const TensorView* tensor = model.find(parameter.name);
  if (tensor == nullptr && parameter.name == "output.weight") tensor = model.find("token_embd.weight");
  if (tensor == nullptr) return Error{Errc::bad_file, "tensor " + parameter.name + " is missing"};
  if (tensor->dims != parameter.dims) {
    return refused("tensor " + parameter.name + " is " + dims_text(tensor->dims) + ", not " +
                   dims_text(parameter.dims) + ", which the format derives from the model's dimensions");
  }
  if (tensor->type != TensorType::f32) {
    return refused("tensor " + parameter.name + " has type " +
                   std::string(tensor_type_info(tensor->type).name) + "; the format holds F32 only");
  }
  if (tensor->elements() > static_cast<std::uint64_t>(smnd::kElementsMax)) {
    return refused("tensor " + parameter.name + " has " + std::to_string(tensor->elements()) +
                   " elements; the format allows " + std::to_string(smnd::kElementsMax));
  }
  const std::size_t wrong = first_not_finite(tensor->data);
  if (wrong != tensor->elements()) {
    return Error{Errc::bad_file, "element " + std::to_string(wrong) + " of tensor " + parameter.name +
                                     " is infinite or not a number"};
  }
  return tensor->data;
}

Status only_places(const Checkpoint& model, const std::vector<smnd::Parameter>& parameters) {
  std::set<std::string_view> names;
  for (const smnd::Parameter& parameter : parameters) names.insert(parameter.name);
  for (const TensorView& tensor : model.tensors) {
    if (names.count(tensor.name) == 0) {
      return refused("the format has no place for tensor " + in_quotes(tensor.name));
    }
  }
  return {};
}

Result<std::vector<std::byte>> head(const smnd::Config& config, const Metadata& metadata) {
  TROUPE_TRY(const auto previous, metadata.get_string(smnd::kTextKey));
  TROUPE_TRY(const std::string text, smnd::metadata_text(config, metadata, previous.value_or("")));
  if (text.size() > smnd::kMetadataBytesMax) {
    return refused("its metadata, the vocabulary included, takes " + std::to_string(text.size()) +
                   " bytes; the format allows " + std::to_string(smnd::kMetadataBytesMax));
  }
  if (auto parsed = smnd::parse_metadata(text); !parsed) return refused(parsed.error().message);
  std::int64_t reserved = 0;
  if (const MetadataValue* value = metadata.find(smnd::kReservedKey)) {
    if (const auto* i = std::get_if<std::int64_t>(value)) reserved = *i;
  }
  std::vector<std::byte> out;
  put(out, smnd::kMagic);
  put(out, smnd::kVersion);
  put(out, reserved);
  put(out, static_cast<std::int32_t>(text.size()));
  put(out, std::string_view(text));
  put(out, static_cast<std::int32_t>(config.parameters()));
  return out;
}

Result<Image> take_apart(const Checkpoint& model) {
  TROUPE_TRY(smnd::Config config, read_config(model.metadata));
  const TensorView* embedding = model.find("token_embd.weight");
  if (embedding == nullptr || embedding->dims.size() != 2) {
    return Error{Errc::bad_file, "tensor token_embd.weight is missing or no matrix"};
  }
  config.vocab_size = embedding->dims[0];
  Image image;
  image.parameters = smnd::parameters(config);
  TROUPE_TRY_STATUS(only_places(model, image.parameters));
  for (const smnd::Parameter& parameter : image.parameters) {
    TROUPE_TRY(const auto values, values_of(model, parameter));
    image.values.push_back(values);
  }
  TROUPE_TRY(image.head, head(config, model.metadata));
  return image;
}

/// write(bytes) → Status, for each piece of the file in order.
template <class Write>
Status for_each_piece(const Image& image, Write write) {
  TROUPE_TRY_STATUS(write(std::span<const std::byte>(image.head)));
  for (std::size_t i = 0; i < image.parameters.size(); ++i) {
    const std::vector<std::uint64_t>& dims = image.parameters[i].dims;
    std::vector<std::byte> shape;
    put(shape, static_cast<std::int32_t>(dims.size()));
    for (const std::uint64_t dim : dims) put(shape, static_cast<std::int32_t>(dim));
    put(shape, static_cast<std::int32_t>(image.values[i].size() / sizeof(float)));
    TROUPE_TRY_STATUS(write(std::span<const std::byte>(shape)));
    TROUPE_TRY_STATUS(write(image.values[i]));
  }
  return {};
}

}  // namespace

Status write_smnd(const std::filesystem::path& path, const Checkpoint& checkpoint,
                  const std::function<bool()>& stop) {
  TROUPE_TRY(const Image image, take_apart(checkpoint));
  TROUPE_TRY(AtomicFile file, AtomicFile::create(path));
  TROUPE_TRY_STATUS(for_each_piece(
      image, [&](std::span<const std::byte> bytes) { return write_unless_stopped(file, bytes, stop); }));
  TROUPE_TRY_STATUS(unless_stopped(stop));
  return file.commit();
}

Result<std::vector<std::byte>> smnd_image(const Checkpoint& checkpoint) {
  TROUPE_TRY(const Image image, take_apart(checkpoint));
  std::vector<std::byte> out;
  TROUPE_TRY_STATUS(for_each_piece(image, [&](std::span<const std::byte> bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
    return Status();
  }));
  return out;
}

}  // namespace troupe
