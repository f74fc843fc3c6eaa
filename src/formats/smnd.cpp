#include "formats/smnd.hpp"

#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/try.hpp"
#include "formats/field_reader.hpp"
#include "formats/finite.hpp"
#include "formats/smnd_metadata.hpp"

namespace troupe {
namespace {

std::string num(std::int64_t n) {
  return std::to_string(n);
}

/// One parameter's head: its dims, whose product is at most kElementsMax and equal to the stored count.
Status read_shape(FieldReader& in, const std::string& label, std::vector<std::uint64_t>& dims) {
  std::int32_t rank = 0;
  if (!in.read(rank)) return in.ends_in("the rank of " + label);
  if (rank < 0 || rank > smnd::kRankMax) {
    return in.bad("the rank of " + label + " is " + num(rank) + ", not from 0 to " + num(smnd::kRankMax));
  }
  std::uint64_t product = 1;  // at most kElementsMax before each step, so no step overflows
  for (std::int32_t i = 0; i < rank; ++i) {
    std::int32_t dim = 0;
    if (!in.read(dim)) return in.ends_in("dimension " + num(i) + " of " + label);
    if (dim < 1) return in.bad("dimension " + num(i) + " of " + label + " is " + num(dim));
    dims.push_back(static_cast<std::uint64_t>(dim));
    product *= static_cast<std::uint64_t>(dim);
    if (product > static_cast<std::uint64_t>(smnd::kElementsMax)) {
      return in.bad(label + " has the shape " + dims_text(dims) + " or more, beyond the " +
                    num(smnd::kElementsMax) + " elements that the format allows");
    }
  }
  std::int32_t count = 0;
  if (!in.read(count)) return in.ends_in("the element count of " + label);
  if (count < 1 || static_cast<std::uint64_t>(count) != product) {
    return in.bad("the element count of " + label + " is " + num(count) + ", but its shape " +
                  dims_text(dims) + " has " + std::to_string(product));
  }
  return {};
}

Status read_parameter(FieldReader& in, std::size_t index, smnd::Parameter expected,
                      std::vector<TensorView>& out) {
  const std::string label = "parameter " + std::to_string(index) + " (" + expected.name + ")";
  std::vector<std::uint64_t> dims;
  TROUPE_TRY_STATUS(read_shape(in, label, dims));
  if (dims != expected.dims) {
    return in.bad("the shape of " + label + " is " + dims_text(dims) + ", but the metadata asks for " +
                  dims_text(expected.dims));
  }
  TensorView tensor;
  tensor.name = std::move(expected.name);
  tensor.dims = std::move(dims);
  if (!in.read_bytes(tensor.elements() * sizeof(float), tensor.data)) {
    return in.bad("the " + std::to_string(tensor.elements()) + " values of " + label + " do not fit the " +
                  std::to_string(in.remaining()) + " bytes that follow");
  }
  const std::size_t wrong = first_not_finite(tensor.data);
  if (wrong != tensor.elements()) {
    return in.bad("element " + std::to_string(wrong) + " of " + label + " is infinite or not a number");
  }
  out.push_back(std::move(tensor));
  return {};
}

Status read_header(FieldReader& in, std::int64_t& reserved, std::string_view& metadata) {
  std::span<const std::byte> bytes;
  if (!in.read_bytes(smnd::kMagic.size(), bytes)) return in.ends_in("the magic");
  if (std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()) != smnd::kMagic) {
    return in.bad("it does not begin with SMND");
  }
  std::int32_t version = 0;
  if (!in.read(version)) return in.ends_in("the version");
  if (version != smnd::kVersion) {
    return in.error(Errc::unsupported,
                    "its version is " + num(version) + "; supported: " + num(smnd::kVersion));
  }
  if (!in.read(reserved)) return in.ends_in("the reserved number");
  std::int32_t length = 0;
  if (!in.read(length)) return in.ends_in("the metadata length");
  if (length < 0 || static_cast<std::uint64_t>(length) > smnd::kMetadataBytesMax) {
    return in.bad("the metadata length is " + num(length) + ", not from 0 to " +
                  std::to_string(smnd::kMetadataBytesMax));
  }
  if (!in.read_bytes(static_cast<std::uint64_t>(length), bytes)) {
    return in.bad("the metadata length is " + num(length) + ", but only " + std::to_string(in.remaining()) +
                  " bytes follow");
  }
  metadata = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  return {};
}

Status read_parameters(FieldReader& in, const smnd::Config& config, std::vector<TensorView>& out) {
  std::int32_t count = 0;
  if (!in.read(count)) return in.ends_in("the parameter count");
  if (count < 0 || count > smnd::kParametersMax) {
    return in.bad("the parameter count is " + num(count) + ", not from 0 to " + num(smnd::kParametersMax));
  }
  if (static_cast<std::uint64_t>(count) != config.parameters()) {
    return in.bad("the parameter count is " + num(count) + ", but " + std::to_string(config.layers) +
                  " layers take " + std::to_string(config.parameters()));
  }
  constexpr std::uint64_t parameter_bytes_min = 4 * sizeof(std::int32_t);
  TROUPE_TRY_STATUS(in.check_count("the parameter count", config.parameters(), parameter_bytes_min));
  std::vector<smnd::Parameter> expected = smnd::parameters(config);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    TROUPE_TRY_STATUS(read_parameter(in, i, std::move(expected[i]), out));
  }
  if (in.remaining() == 0) return {};
  return in.bad(std::to_string(in.remaining()) + " bytes follow the last parameter");
}

/// The vocabulary: the one that the checkpoint keeps, or that of an alphabet.
Status add_vocabulary(const FieldReader& in, const smnd::ParsedMetadata& parsed,
                      const std::optional<AlphabetText>& alphabet, Metadata& out) {
  const bool has_own =
      *parsed.kept.find(smnd::kTokenizerKey) != MetadataValue(std::string(smnd::kNoTokenizer));
  for (const auto& [key, value] : parsed.kept) {
    if (key != smnd::kTokenizerKey || has_own || !alphabet) out.insert(key, value);
  }
  if (!alphabet) return {};
  if (has_own) {
    return in.error(Errc::bad_argument,
                    "it keeps a vocabulary of its own: leave out --tokenizer " + in_quotes(alphabet->name));
  }
  if (auto status = smnd::add_alphabet(alphabet->text, out); !status) {
    return Error{Errc::bad_argument, in_quotes(alphabet->name) + ": " + status.error().message};
  }
  TROUPE_TRY(const std::vector<std::string>* tokens, out.get_strings("tokenizer.ggml.tokens"));
  if (tokens != nullptr && tokens->size() == parsed.config.vocab_size) return {};
  return Error{Errc::bad_argument, in_quotes(alphabet->name) + " has " + std::to_string(tokens->size()) +
                                       " different characters, but the model's VocabSize is " +
                                       std::to_string(parsed.config.vocab_size) +
                                       ": it is not the alphabet that the model was trained with"};
}

void fill_metadata(const smnd::Config& config, Metadata& m) {
  m.insert("general.architecture", std::string("gpt2"));
  m.insert("general.file_type", std::uint64_t{0});  // all F32
  m.insert("gpt2.block_count", config.layers);
  m.insert("gpt2.context_length", config.context);
  m.insert("gpt2.embedding_length", config.width);
  m.insert("gpt2.feed_forward_length", 4 * config.width);
  m.insert("gpt2.attention.head_count", config.heads);
  m.insert("gpt2.attention.layer_norm_epsilon", smnd::kNormEps);
  m.insert("gpt2.gelu_f16", false);
  m.insert("gpt2.vocab_size", config.vocab_size);
}

}  // namespace

Result<Checkpoint> read_smnd(std::span<const std::byte> file, std::string_view name,
                             const std::optional<AlphabetText>& alphabet,
                             std::shared_ptr<const void> storage) {
  FieldReader in(file, name);
  std::int64_t reserved = 0;
  std::string_view text;
  TROUPE_TRY_STATUS(read_header(in, reserved, text));
  auto parsed = smnd::parse_metadata(text);
  if (!parsed) return in.bad(parsed.error().message);

  Checkpoint out;
  out.format = "SMND v1";
  out.file_bytes = file.size();
  TROUPE_TRY_STATUS(read_parameters(in, parsed->config, out.tensors));
  fill_metadata(parsed->config, out.metadata);
  TROUPE_TRY_STATUS(add_vocabulary(in, *parsed, alphabet, out.metadata));
  out.metadata.insert(smnd::kTextKey, std::string(text));
  if (reserved != 0) out.metadata.insert(smnd::kReservedKey, reserved);
  std::string duplicate;
  TROUPE_CHECK(out.build_index(duplicate));
  out.storage = std::move(storage);
  return out;
}

}  // namespace troupe
