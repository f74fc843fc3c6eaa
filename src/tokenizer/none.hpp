#pragma once
// For model files that hold no vocabulary: token ids only.

#include "formats/checkpoint.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe {

/// `tokenizer.ggml.model` = "none" or "no_vocab". Knows how many tokens there are and nothing else: text can
/// be neither encoded (bad_argument, unless it is empty) nor decoded (every token is empty).
class NoTokenizer final : public Tokenizer {
 public:
  /// The size is that of token_embd.weight, or the architecture's vocab_size key in a file without weights.
  /// Errors: bad_file.
  static Result<std::unique_ptr<Tokenizer>> create(const Checkpoint& checkpoint);

  using Tokenizer::decode;
  using Tokenizer::encode;
  Result<std::vector<Token>> encode(std::string_view text, EncodeOptions options) const override;
  std::string decode(std::span<const Token> tokens, bool render_special) const override { return {}; }
  std::string_view piece(Token token) const noexcept override { return {}; }
  std::string_view spelling(Token token) const noexcept override { return {}; }
  std::size_t vocab_size() const noexcept override { return vocab_size_; }
  std::optional<Token> bos() const noexcept override { return std::nullopt; }
  std::optional<Token> eos() const noexcept override { return std::nullopt; }
  bool adds_bos() const noexcept override { return false; }
  bool adds_eos() const noexcept override { return false; }
  bool is_control(Token token) const noexcept override { return false; }
  bool ends_generation(Token token) const noexcept override { return false; }
  std::string_view algorithm() const noexcept override { return "none"; }

 private:
  explicit NoTokenizer(std::size_t vocab_size) : vocab_size_(vocab_size) {}

  std::size_t vocab_size_;
};

}  // namespace troupe
