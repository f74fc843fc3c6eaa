#include "tokenizer/none.hpp"

#include <limits>

#include "base/try.hpp"

namespace troupe {

Result<std::unique_ptr<Tokenizer>> NoTokenizer::create(const Checkpoint& checkpoint) {
  std::uint64_t size = 0;
  if (const TensorView* embedding = checkpoint.find("token_embd.weight")) {
    size = embedding->dims[0];
  } else {
    TROUPE_TRY(const std::string architecture, checkpoint.metadata.need_string("general.architecture"));
    TROUPE_TRY(size, checkpoint.metadata.need_u64(architecture + ".vocab_size"));
  }
  if (size < 1 || size > static_cast<std::uint64_t>(std::numeric_limits<Token>::max())) {
    return Error{Errc::bad_file, "the vocabulary has " + std::to_string(size) + " tokens"};
  }
  return std::unique_ptr<Tokenizer>(new NoTokenizer(static_cast<std::size_t>(size)));
}

Result<std::vector<Token>> NoTokenizer::encode(std::string_view text, EncodeOptions) const {
  if (text.empty()) return std::vector<Token>{};
  return Error{Errc::bad_argument,
               "the model file holds no vocabulary, so text means nothing to it: name its vocabulary with "
               "--tokenizer FILE (for .smnd a text that holds its alphabet)"};
}

}  // namespace troupe
