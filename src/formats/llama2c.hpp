#pragma once
// Checkpoints of llama2.c, "version 0" (the layout of its run.c), and its tokenizer.bin. Both have no magic
// number; everything is little-endian and packed without padding.
//
//   model       i32  dim, hidden_dim, n_layers, n_heads, n_kv_heads
//               i32  vocab_size                         negative: the classifier has weights of its own
//               i32  seq_len
//               f32  token_embd.weight        [vocab, dim]
//               f32  attn_norm.weight         [layer, dim]
//               f32  attn_q.weight            [layer, dim, dim]
//               f32  attn_k.weight            [layer, kv_dim, dim]        kv_dim = n_kv_heads * head_dim
//               f32  attn_v.weight            [layer, kv_dim, dim]        head_dim = dim / n_heads
//               f32  attn_output.weight       [layer, dim, dim]
//               f32  ffn_norm.weight          [layer, dim]
//               f32  ffn_gate.weight          [layer, hidden, dim]        llama2.c's w1
//               f32  ffn_down.weight          [layer, dim, hidden]        w2
//               f32  ffn_up.weight            [layer, hidden, dim]        w3
//               f32  output_norm.weight       [dim]
//               f32  rotation tables, cos and sin, unused: [seq_len, head_dim / 2] twice
//               f32  output.weight            [vocab, dim]                only with negative vocab_size
//
//   tokenizer   i32  max_token_length
//               vocab_size times:  f32 score, i32 length, the bytes of the piece
//
// The tokenizer is a SentencePiece one. Its pieces are spelled with plain spaces, and BOS and EOS (always ids
// 1 and 2) with a line break around them; the translation gives them GGUF's spelling: U+2581 for a space,
// "<s>" and "</s>". Token types follow from the spelling: id 0 is the unknown token, 1 and 2 are control
// tokens, "<0x00>" to "<0xFF>" bytes, the rest are normal. As run.c does, BOS and a space go before a text.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "formats/checkpoint.hpp"

namespace troupe {

/// A model's header, after its seven fields were found plausible: positive and of possible size,
/// n_kv_heads divides n_heads, n_heads divides dim, and the head size is even.
struct Llama2cHeader {
  std::uint64_t dim = 0;
  std::uint64_t hidden_dim = 0;
  std::uint64_t layers = 0;
  std::uint64_t heads = 0;
  std::uint64_t kv_heads = 0;
  std::uint64_t vocab_size = 0;
  std::uint64_t seq_len = 0;
  bool has_classifier = false;  ///< output.weight is in the file

  std::uint64_t head_dim() const { return dim / heads; }
  std::uint64_t kv_dim() const { return head_dim() * kv_heads; }
  /// Size of the whole file; 2^64 - 1 when it is that or more.
  std::uint64_t file_bytes() const;
};

/// The header that `file` begins with, if those bytes can be one. That is all there is to know the format
/// by, besides the file's size being file_bytes().
std::optional<Llama2cHeader> parse_llama2c_header(std::span<const std::byte> file);

/// Reads a model and its tokenizer from memory into GGUF's names and keys; the rotation base is 10000 and
/// the norm's epsilon 1e-5, as run.c has them. Tensor views point into `file` (kept alive by `storage`, which
/// may be null when the caller does that) and are aligned to 4 bytes only. Without `tokenizer` the model has
/// no vocabulary: tokenizer.ggml.model is "none". Takes at most 32 times the two files' size in memory.
/// Errors, beginning with the name of the file at fault: bad_file when the size is not exactly what the
/// header asks for, a weight is infinite or no number, or the tokenizer is for another vocabulary.
Result<Checkpoint> read_llama2c(std::span<const std::byte> file, std::string_view name,
                                std::optional<std::span<const std::byte>> tokenizer,
                                std::string_view tokenizer_name, std::shared_ptr<const void> storage);

/// Where the tokenizer of `model` is when the user does not say: beside it, the first that exists of
/// `<stem>.tokenizer.bin`, `tok<vocab_size>.bin` and `tokenizer.bin`. Errors: bad_argument naming these.
Result<std::filesystem::path> find_llama2c_tokenizer(const std::filesystem::path& model,
                                                     std::uint64_t vocab_size);

}  // namespace troupe
