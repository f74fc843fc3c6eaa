#pragma once
// Text files as token ids: the documents, the vocabulary learnt from them, the training and validation split,
// and the windows that are drawn from it.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/checkpoint.hpp"
#include "troupe/error.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe::train {

/// The token that begins each document and ends the text before it.
inline constexpr std::string_view document_mark = "<|endoftext|>";

/// One text file. Where document_mark occurs in it, it separates documents, and white space around it is
/// dropped; a file without it is one document, as it stands.
struct TextFile {
  std::filesystem::path path;
  std::string text;
  std::vector<std::string_view> documents;  ///< views of `text`, none empty
};

/// Errors: io, bad_file for a file without any text.
Result<std::vector<TextFile>> read_texts(std::span<const std::filesystem::path> paths);

/// What --vocab asks for.
struct VocabularyChoice {
  bool characters = true;  ///< one token per character; else byte-level BPE
  std::size_t tokens = 0;  ///< of the BPE vocabulary, document mark included
};

/// "char" or "bpe:N". Errors: bad_argument.
Result<VocabularyChoice> parse_vocabulary(std::string_view text);

/// The `tokenizer.ggml.*` keys of a vocabulary: model "char" with the characters of `files` and
/// `validation_files` in the order of their numbers, or model "gpt2", pre "gpt-2" with merges learnt from
/// `files`; each with the document mark as its last token, which is BOS and EOS, and put in front of prompts.
/// Errors: bad_argument (too many tokens asked for, text that is no UTF-8 with "char").
Result<Metadata> learn_vocabulary(const VocabularyChoice& choice, std::span<const TextFile> files,
                                  std::span<const TextFile> validation_files);

/// Token ids of one part of the text, and how many bytes of text they stand for.
struct TokenText {
  std::vector<Token> tokens;
  std::uint64_t bytes = 0;
};

struct Corpus {
  TokenText training;
  TokenText validation;           ///< empty when nothing is held back
  std::uint64_t fingerprint = 0;  ///< of all tokens: two equal corpora have equal ones
};

/// Encodes the files. The last `validation_share` of each file is held back, cut between documents but
/// where the last one alone is more than that; with `validation_files` those are the validation text and
/// nothing is cut. Errors: bad_argument when a text cannot be expressed.
Result<Corpus> encode_corpus(const Tokenizer& tokenizer, std::span<const TextFile> files,
                             std::span<const TextFile> validation_files, double validation_share);

/// Fills inputs and targets [windows * time] with window `number`, `number` + 1, … of the endless sequence
/// that `seed` draws from `text`: a pure function of its arguments. text has more than `time` tokens.
void draw_windows(const TokenText& text, std::uint64_t seed, std::uint64_t number, std::size_t windows,
                  std::size_t time, std::span<Token> inputs, std::span<Token> targets);

/// The same with windows at equal distances, `number` of `total`: what validation reads.
void take_windows(const TokenText& text, std::size_t number, std::size_t total, std::size_t windows,
                  std::size_t time, std::span<Token> inputs, std::span<Token> targets);

}  // namespace troupe::train
