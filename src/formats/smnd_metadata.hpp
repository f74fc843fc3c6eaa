#pragma once
// The metadata of an SMND file (smnd.hpp draws it): JSON on one side, GGUF's keys on the other; and the
// places of its parameters.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/checkpoint.hpp"

namespace troupe::smnd {

inline constexpr std::string_view kMagic = "SMND";
inline constexpr std::int32_t kVersion = 1;
inline constexpr std::uint64_t kMetadataBytesMax = 1U << 20;
inline constexpr std::int32_t kParametersMax = 10000;
inline constexpr std::int32_t kRankMax = 8;
inline constexpr std::int32_t kElementsMax = 100'000'000;
inline constexpr double kNormEps = static_cast<double>(1e-5F);

inline constexpr const char* kTextKey = "smnd.metadata";
inline constexpr const char* kReservedKey = "smnd.reserved";
inline constexpr const char* kTokenizerKey = "tokenizer.ggml.model";
inline constexpr const char* kNoTokenizer = "none";

/// A model's dimensions, each from 1 to 2^24; width is a multiple of heads.
struct Config {
  std::uint64_t vocab_size = 0;
  std::uint64_t context = 0;
  std::uint64_t width = 0;
  std::uint64_t heads = 0;
  std::uint64_t layers = 0;

  std::uint64_t parameters() const { return 5 + 12 * layers; }
  bool operator==(const Config&) const = default;
};

struct Parameter {
  std::string name;                 ///< GGUF's
  std::vector<std::uint64_t> dims;  ///< outermost first
};

/// All parameters, in the file's order.
std::vector<Parameter> parameters(const Config& config);

struct ParsedMetadata {
  Config config;
  Metadata kept;  ///< the keys of GGUF that Extra keeps; tokenizer.ggml.model is always there
};

/// Reads the JSON text. Errors: bad_file, naming the field; nothing of the file it stands in.
Result<ParsedMetadata> parse_metadata(std::string_view json);

/// Puts the vocabulary of an alphabet into `out`: the distinct characters of `text`, sorted. `text` may begin
/// with a byte order mark. Errors: bad_argument.
Status add_alphabet(std::string_view text, Metadata& out);

/// Whether `key` is one that Extra keeps.
bool is_kept(std::string_view key);

/// The JSON text for a model: `previous` if it is one that parse_metadata() takes and says the same, else a
/// new one, with what else `previous` has in Extra. Errors: unsupported for values that JSON cannot hold.
Result<std::string> metadata_text(const Config& config, const Metadata& metadata, std::string_view previous);

}  // namespace troupe::smnd
