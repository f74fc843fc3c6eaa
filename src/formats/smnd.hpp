#pragma once
// SMND, version 1: SmallMind's binary checkpoints of GPT-2-style models. All integers are little-endian and
// signed; nothing is aligned or padded.
//
//   header      the characters SMND
//               i32  version           1
//               i64  reserved          0; not looked at, but kept
//               i32  metadata_length   0 to 1 MiB
//   metadata    UTF-8 JSON without a byte order mark, one object:
//                 ModelType ("TransformerModel"), VocabSize V, BlockSize B, EmbedDim E, NumHeads H,
//                 NumLayers L, FfnHiddenDim (4E; not looked at), Extra (string → anything, or null)
//   parameters  i32  count             5 + 12 L, at most 10000
//               count times:
//                 i32  rank            0 to 8
//                 i32  dims[rank]      each above 0, outermost first
//                 i32  n               1 to 100 000 000; the product of dims
//                 f32  values[n]       row-major
//
// The parameters have no names but these places:
//
//   0, 1        token_embd.weight [V, E], position_embd.weight [B, E]
//   2 + 12 l    blk.l: attn_norm.weight, .bias [E]; attn_qkv.weight [3E, E], .bias [3E] (query, key, value);
//               attn_output.weight [E, E], .bias [E]; ffn_norm.weight, .bias [E];
//               ffn_up.weight [4E, E], .bias [4E]; ffn_down.weight [E, 4E], .bias [E]
//   2 + 12 L    output_norm.weight, .bias [E]
//   4 + 12 L    output.weight [V, E]
//
// The format has no place for a vocabulary, so it is kept in Extra, in one of two ways:
//   "tokenizer.ggml.model", "tokenizer.ggml.tokens", …    GGUF's keys with their values: any vocabulary
//   "Alphabet"                                            a text that holds each character of the alphabet
// As SmallMind does, an alphabet's distinct characters are sorted, and the id is the index. (It sorts UTF-16
// code units; a character beyond U+FFFF would be two tokens there, and is refused here.) Keys of GGUF that
// begin with "general." are kept in Extra too. Without a vocabulary tokenizer.ggml.model is "none".
//
// In the checkpoint, `gpt2.gelu_f16` is false: gelu is computed exactly (a GGUF file without that key means
// ggml's, by way of f16). `smnd.metadata` is the metadata as it stands in the file and `smnd.reserved` the
// reserved number, unless that is 0: with them the writer gives the same bytes again, by way of GGUF too.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "formats/checkpoint.hpp"

namespace troupe {

/// A text from which to take the alphabet, and the name of the file it comes from.
struct AlphabetText {
  std::string_view text;
  std::string_view name;
};

/// Reads an SMND file that lies in memory into GGUF's names, as architecture gpt2. `name` begins every error
/// message. The tensor views point into `file`, unaligned; `storage` keeps it alive (it may be null when the
/// caller does). `alphabet` is for a checkpoint that keeps no vocabulary; its size must be VocabSize.
///
/// `file` may hold anything. Every size is checked against the file's before it is used; metadata takes at
/// most some 20 MiB. Refused besides what is out of bounds: another version or ModelType, parameters that
/// are not of the count and shapes that the metadata asks for, infinite values and those that are no number,
/// bytes behind the last parameter.
/// Errors: bad_file; unsupported for other versions; bad_argument for an alphabet that is not wanted or does
/// not fit.
Result<Checkpoint> read_smnd(std::span<const std::byte> file, std::string_view name,
                             const std::optional<AlphabetText>& alphabet,
                             std::shared_ptr<const void> storage);

/// Writes a GPT-2-style F32 model as an SMND file. The vocabulary goes into Extra (unless it is "none"). The
/// metadata text that the checkpoint was read with is kept as it was if it still says the same. A model whose
/// output is tied to the embedding is written with the embedding twice, which computes the same.
///
/// The file appears whole or not at all. stop() is asked every few MiB; true gives up. Errors: io; cancelled;
/// unsupported for what the format cannot express, naming it: another architecture or normalisation constant,
/// a tensor of another type or without a place, metadata beyond 1 MiB, a token that is no UTF-8; bad_file for
/// missing tensors or keys and values that are not finite.
Status write_smnd(const std::filesystem::path& path, const Checkpoint& checkpoint,
                  const std::function<bool()>& stop = {});

/// The same file in memory.
Result<std::vector<std::byte>> smnd_image(const Checkpoint& checkpoint);

}  // namespace troupe
