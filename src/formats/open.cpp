#include "formats/open.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/mapped_file.hpp"
#include "base/try.hpp"
#include "base/utf8.hpp"
#include "formats/gguf_shards.hpp"
#include "formats/llama2c.hpp"
#include "formats/smnd.hpp"

namespace troupe {
namespace {

using File = std::shared_ptr<const MappedFile>;

Result<Checkpoint> open_llama2c(const std::filesystem::path& path, const File& model,
                                const Llama2cHeader& header, const OpenCheckpointOptions& options) {
  std::filesystem::path tokenizer_path = options.tokenizer;
  // A file of the wrong size is no llama2.c checkpoint at all; asking for its tokenizer would mislead.
  File tokenizer;
  if (header.file_bytes() == model->bytes().size()) {
    if (tokenizer_path.empty()) {
      auto found = find_llama2c_tokenizer(path, header.vocab_size);
      if (!found && !options.vocabulary_optional) return std::move(found).error();
      if (found) tokenizer_path = *std::move(found);
    }
    if (!tokenizer_path.empty()) {
      TROUPE_TRY(tokenizer, MappedFile::open(tokenizer_path));
    }
  }
  std::optional<std::span<const std::byte>> tokenizer_bytes;
  if (tokenizer) tokenizer_bytes = tokenizer->bytes();
  return read_llama2c(model->bytes(), path.native(), tokenizer_bytes, tokenizer_path.native(), model);
}

Result<Checkpoint> open_smnd(const std::filesystem::path& path, const File& model,
                             const std::filesystem::path& alphabet_path) {
  if (alphabet_path.empty()) return read_smnd(model->bytes(), path.native(), std::nullopt, model);
  TROUPE_TRY(const File alphabet, MappedFile::open(alphabet_path));
  const std::string_view text(reinterpret_cast<const char*>(alphabet->bytes().data()),
                              alphabet->bytes().size());
  return read_smnd(model->bytes(), path.native(), AlphabetText{text, alphabet_path.native()}, model);
}

Result<Checkpoint> open_any(const std::filesystem::path& path, const OpenCheckpointOptions& options) {
  TROUPE_TRY(const File file, MappedFile::open(path));
  const std::string_view begin(reinterpret_cast<const char*>(file->bytes().data()),
                               std::min<std::size_t>(file->bytes().size(), 32));
  const std::string name = in_quotes(path.native());

  if (begin.starts_with("GGUF")) {
    if (!options.tokenizer.empty()) {
      return Error{Errc::bad_argument,
                   name + " is a GGUF file, which holds its own tokenizer: leave out --tokenizer " +
                       in_quotes(options.tokenizer.native())};
    }
    return open_gguf(path, file);
  }
  if (begin.starts_with("SMND")) return open_smnd(path, file, options.tokenizer);
  if (begin.starts_with("24ka")) {  // the number 0x616b3432, "ak42", that llama2.c's later layouts begin with
    return Error{Errc::unsupported, name +
                                        " is a llama2.c checkpoint of version 1 or 2; only version 0 (what "
                                        "its run.c reads) is supported"};
  }
  if (begin.starts_with("version https://git-lfs")) {
    return Error{Errc::bad_file,
                 name + " is a Git LFS pointer, not the model itself: fetch it with git lfs pull"};
  }
  if (const auto header = parse_llama2c_header(file->bytes())) {
    return open_llama2c(path, file, *header, options);
  }
  return Error{Errc::bad_file,
               name + " begins with " + in_quotes(begin.substr(0, 8)) +
                   ", which is no known model format; known are GGUF (.gguf), SMND (.smnd) and "
                   "llama2.c version 0 (.bin) (file size " +
                   std::to_string(file->bytes().size()) + " bytes)"};
}

}  // namespace

Result<Checkpoint> open_checkpoint(const std::filesystem::path& path, const OpenCheckpointOptions& options) {
  TROUPE_TRY(Checkpoint checkpoint, open_any(path, options));
  if (checkpoint.files.empty()) checkpoint.files.push_back(path);  // no shards
  return checkpoint;
}

}  // namespace troupe
