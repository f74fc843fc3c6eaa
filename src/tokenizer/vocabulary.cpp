#include "tokenizer/vocabulary.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "base/log.hpp"
#include "base/try.hpp"
#include "base/utf8.hpp"

namespace troupe {
namespace {

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens";
constexpr std::string_view scores_key = "tokenizer.ggml.scores";
constexpr std::string_view types_key = "tokenizer.ggml.token_type";
constexpr std::uint64_t no_id = 0xFFFFFFFF;

Error bad_key(std::string_view key, const std::string& what) {
  return {Errc::bad_file, std::string(key) + " " + what};
}

/// Without types in the file (old files, other formats) the spelling has to tell.
TokenType guessed_type(std::string_view spelling) {
  if (spelling == "<unk>") return TokenType::unknown;
  if (spelling == "<s>" || spelling == "<pad>" || is_end_mark(spelling)) return TokenType::control;
  return TokenType::normal;
}

Result<std::vector<TokenType>> read_types(const Metadata& metadata,
                                          const std::vector<std::string>& spellings) {
  std::vector<TokenType> types(spellings.size());
  TROUPE_TRY(const auto numbers, metadata.get_i64s(types_key));
  if (!numbers) {
    std::transform(spellings.begin(), spellings.end(), types.begin(), guessed_type);
    return types;
  }
  if (numbers->size() < spellings.size()) {
    return bad_key(types_key, "has " + std::to_string(numbers->size()) + " entries for " +
                                  std::to_string(spellings.size()) + " tokens");
  }
  for (std::size_t i = 0; i < types.size(); ++i) {
    const std::int64_t number = (*numbers)[i];
    if (number < 0 || number > 6) {
      return bad_key(types_key, "of token " + std::to_string(i) + " is " + std::to_string(number) +
                                    "; the known types are 0 to 6");
    }
    types[i] = number == 0 ? TokenType::normal : static_cast<TokenType>(number);  // 0: undefined
  }
  return types;
}

/// Scores of a file that has some must fit, even where the algorithm does not look at them.
Result<std::vector<double>> read_scores(const Metadata& metadata, std::size_t tokens, bool needed) {
  TROUPE_TRY(auto scores, metadata.get_f64s(scores_key));
  if (!scores) {
    if (!needed) return std::vector<double>{};
    return bad_key(scores_key, "is missing; this kind of vocabulary merges by score");
  }
  if (scores->size() < tokens) {
    return bad_key(scores_key, "has " + std::to_string(scores->size()) + " entries for " +
                                   std::to_string(tokens) + " tokens");
  }
  scores->resize(tokens);
  for (std::size_t i = 0; i < tokens; ++i) {
    if (std::isnan((*scores)[i]))
      return bad_key(scores_key, "of token " + std::to_string(i) + " is not a number");
  }
  return *std::move(scores);
}

/// The id under `key`; where the file has no such key, or one outside the vocabulary, `fallback`, if its
/// token is of `fallback_type`.
Result<std::optional<Token>> read_id(const Metadata& metadata, std::string_view key,
                                     const Vocabulary& vocabulary, std::optional<Token> fallback,
                                     TokenType fallback_type) {
  TROUPE_TRY(auto id, metadata.get_u64(key));
  if (id == no_id) return std::optional<Token>{};
  if (id && *id >= vocabulary.size()) {
    log_warning(std::string(key) + " is " + std::to_string(*id) + ", outside the vocabulary of " +
                std::to_string(vocabulary.size()) + " tokens; it is left aside");
    id.reset();
  }
  if (id) return std::optional<Token>{static_cast<Token>(*id)};
  const bool fits = fallback && vocabulary.holds(*fallback) && vocabulary.type(*fallback) == fallback_type;
  return fits ? fallback : std::nullopt;
}

/// Whether to add the token `id`; never one that does not exist.
Result<bool> read_adds(const Metadata& metadata, std::string_view key, std::optional<Token> id,
                       bool fallback) {
  TROUPE_TRY(const auto adds, metadata.get_bool(key));
  if (adds.value_or(false) && !id) {
    log_warning(std::string(key) + " is true, but the vocabulary names no such token; none is added");
  }
  return id && adds.value_or(fallback);
}

/// Corrects types that would let a text spell what it must not, or that contradict the spelling.
Status settle_types(Vocabulary& vocabulary, bool byte_tokens) {
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    const std::string& spelling = vocabulary.spellings[i];
    TokenType& type = vocabulary.types[i];
    // Some files mark these as plain tokens; then any user's text could end a turn. A </s> that is not marked
    // as control, though, is HTML, as in Gemma's files.
    if (is_end_mark(spelling) && spelling != "</s>") type = TokenType::control;
    if (type == TokenType::user_defined && is_infill_mark(spelling)) type = TokenType::control;
    if (byte_tokens && type == TokenType::normal && spelled_byte(spelling)) type = TokenType::byte;
    if (type == TokenType::byte && !spelled_byte(spelling)) {
      return bad_key(tokens_key, "has the byte token " + std::to_string(i) + " spelled " +
                                     in_quotes(spelling) + " instead of <0x00> to <0xFF>");
    }
  }
  return {};
}

/// Files do not say it: that Phi-3's added tokens drop the white space behind them is known by its name.
Result<std::vector<bool>> read_drops_space_behind(const Metadata& metadata, const Vocabulary& vocabulary) {
  TROUPE_TRY(auto name, metadata.get_string("general.name"));
  if (!name) return std::vector<bool>{};
  for (char& c : *name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (name->find("phi-3") == std::string::npos && name->find("phi3") == std::string::npos) {
    return std::vector<bool>{};
  }
  std::vector<bool> drops(vocabulary.size());
  for (std::size_t i = 0; i < drops.size(); ++i) {
    const std::string& spelling = vocabulary.spellings[i];
    const TokenType type = vocabulary.types[i];
    const bool is_special =
        type == TokenType::control || type == TokenType::user_defined || type == TokenType::unknown;
    drops[i] = is_special && spelling != "<unk>" && spelling != "<s>" && spelling != "<|endoftext|>";
  }
  return drops;
}

}  // namespace

Result<Vocabulary> read_vocabulary(const Metadata& metadata, const VocabularyDefaults& defaults) {
  Vocabulary v;
  TROUPE_TRY(const auto* spellings, metadata.get_strings(tokens_key));
  if (spellings == nullptr) return bad_key(tokens_key, "is missing");
  if (spellings->empty()) return bad_key(tokens_key, "is empty");
  if (spellings->size() > std::numeric_limits<Token>::max()) {
    return bad_key(tokens_key,
                   "has " + std::to_string(spellings->size()) + " entries, more than a token id can count");
  }
  v.spellings = *spellings;
  TROUPE_TRY(v.types, read_types(metadata, v.spellings));
  TROUPE_TRY(v.scores, read_scores(metadata, v.size(), defaults.needs_scores));
  TROUPE_TRY_STATUS(settle_types(v, defaults.byte_tokens));

  const auto id = [&](std::string_view key, std::optional<Token> fallback = {},
                      TokenType type = TokenType::control) {
    return read_id(metadata, key, v, fallback, type);
  };
  TROUPE_TRY(v.bos, id("tokenizer.ggml.bos_token_id", defaults.bos));
  TROUPE_TRY(v.eos, id("tokenizer.ggml.eos_token_id", defaults.eos));
  TROUPE_TRY(v.unknown, id("tokenizer.ggml.unknown_token_id", defaults.unknown, TokenType::unknown));
  TROUPE_TRY(v.end_of_turn, id("tokenizer.ggml.eot_token_id"));
  TROUPE_TRY(v.end_of_message, id("tokenizer.ggml.eom_token_id"));

  for (const char* key : {"fim_pad", "fim_rep", "fim_sep"}) {
    TROUPE_TRY(const auto end, id("tokenizer.ggml." + std::string(key) + "_token_id"));
    if (end) v.infill_ends.push_back(*end);
  }
  TROUPE_TRY(v.drops_space_behind, read_drops_space_behind(metadata, v));

  TROUPE_TRY(v.adds_bos, read_adds(metadata, "tokenizer.ggml.add_bos_token", v.bos, defaults.adds_bos));
  TROUPE_TRY(v.adds_eos, read_adds(metadata, "tokenizer.ggml.add_eos_token", v.eos, defaults.adds_eos));
  TROUPE_TRY(const auto space_prefix, metadata.get_bool("tokenizer.ggml.add_space_prefix"));
  v.adds_space_prefix = space_prefix.value_or(defaults.adds_space_prefix);
  return v;
}

bool is_end_mark(std::string_view spelling) noexcept {
  static constexpr std::string_view marks[] = {"</s>",
                                               "<|eot_id|>",
                                               "<|eom_id|>",
                                               "<|im_end|>",
                                               "<|end|>",
                                               "<|return|>",
                                               "<|call|>",
                                               "<end_of_turn>",
                                               "<|eot|>",
                                               "<|end_of_turn|>",
                                               "<|endoftext|>",
                                               "<|end_of_text|>",
                                               "<EOT>",
                                               "< EOT >",
                                               "_<EOT>",
                                               "_< EOT >",
                                               "▁<EOT>",
                                               "[EOT]",
                                               "[EOS]",
                                               "<end_of_utterance>",
                                               "<eos>",
                                               "<|endofturn|>",
                                               "[|endofturn|]",
                                               "<|END_OF_TURN_TOKEN|>",
                                               "<｜end▁of▁sentence｜>"};
  return std::find(std::begin(marks), std::end(marks), spelling) != std::end(marks);
}

bool is_infill_mark(std::string_view spelling) noexcept {
  static constexpr std::string_view marks[] = {
      "<|fim_prefix|>", "<fim-prefix>",    "<fim_prefix>",   "<｜fim▁begin｜>", "<PRE>",
      "▁<PRE>",         "<|code_prefix|>", "<|fim_suffix|>", "<fim-suffix>",    "<fim_suffix>",
      "<｜fim▁hole｜>", "<SUF>",           "▁<SUF>",         "<|code_suffix|>", "<|fim_middle|>",
      "<fim-middle>",   "<fim_middle>",    "<｜fim▁end｜>",  "<MID>",           "▁<MID>",
      "<|code_middle|>"};
  return std::find(std::begin(marks), std::end(marks), spelling) != std::end(marks) ||
         is_infill_end(spelling);
}

bool is_infill_end(std::string_view spelling) noexcept {
  static constexpr std::string_view marks[] = {"<|fim_pad|>", "<fim-pad>",    "<fim_pad>",     "<PAD>",
                                               "[PAD]",       "<|fim_repo|>", "<|repo_name|>", "<fim-repo>",
                                               "<REPO>",      "<reponame>",   "<|file_sep|>"};
  return std::find(std::begin(marks), std::end(marks), spelling) != std::end(marks);
}

std::optional<unsigned char> spelled_byte(std::string_view spelling) noexcept {
  if (spelling.size() != 6 || spelling.substr(0, 3) != "<0x" || spelling[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (char c : spelling.substr(3, 2)) {
    if (c >= '0' && c <= '9') {
      value = value * 16 + static_cast<unsigned>(c - '0');
    } else if (c >= 'A' && c <= 'F') {
      value = value * 16 + static_cast<unsigned>(c - 'A' + 10);
    } else if (c >= 'a' && c <= 'f') {
      value = value * 16 + static_cast<unsigned>(c - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  return static_cast<unsigned char>(value);
}

}  // namespace troupe
