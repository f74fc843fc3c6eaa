#include "tokenizer/bpe.hpp"

#include <utility>

#include "base/try.hpp"
#include "base/utf8.hpp"
#include "tokenizer/byte_alphabet.hpp"

namespace troupe {
namespace {

// Positions in a word are 32 bits wide.
constexpr std::size_t text_bytes_max = std::size_t{1} << 30;

bool stands_for_bytes(TokenType type) {
  return type == TokenType::normal || type == TokenType::unused;
}

/// User-defined tokens are found in the text as they are spelled, so they are their spelling.
std::vector<std::string> pieces_of(const Vocabulary& vocabulary) {
  std::vector<std::string> pieces(vocabulary.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::string& spelling = vocabulary.spellings[i];
    if (vocabulary.types[i] == TokenType::byte) {
      pieces[i] = static_cast<char>(spelled_byte(spelling).value());
    } else if (!stands_for_bytes(vocabulary.types[i]) || !append_spelled_bytes(pieces[i], spelling)) {
      pieces[i] = spelling;
    }
  }
  return pieces;
}

Error bad_merge(std::size_t index, std::string_view merge) {
  return {Errc::bad_file, "tokenizer.ggml.merges has " + in_quotes(merge) + " as entry " +
                              std::to_string(index) + "; each is two parts of a word with a space between"};
}

}  // namespace

/// The encoding of one text.
class BpeTokenizer::Encoder {
 public:
  Encoder(const BpeTokenizer& tokenizer, std::vector<Token>& out)
      : tokenizer_(tokenizer), out_(out), merger_(tokenizer.merges_) {}

  void encode(std::string_view text) {
    for_each_word(tokenizer_.pre_, text, [&](std::string_view word) { add_word(word); });
  }

 private:
  void add_word(std::string_view word) {
    const Symbol* whole = tokenizer_.symbols_.find(word);
    if (whole == nullptr || !tokenizer_.is_token(*whole)) {
      add_merged(word);
      return;
    }
    std::atomic<Whole>& state = tokenizer_.whole_[*whole];
    if (tokenizer_.pre_.ignores_merges || state.load(std::memory_order_relaxed) == Whole::yes) {
      out_.push_back(static_cast<Token>(*whole));
      return;
    }
    add_merged(word);
    state.store(merged_.size() == 1 ? Whole::yes : Whole::no, std::memory_order_relaxed);
  }

  void add_merged(std::string_view word) {
    merged_.clear();
    for (const char byte : word) merged_.push_back(tokenizer_.symbol_of(byte));
    merger_.merge(merged_);
    for (const Symbol symbol : merged_) {
      if (tokenizer_.is_token(symbol)) {
        out_.push_back(static_cast<Token>(symbol));
      } else {
        add_bytes(*tokenizer_.unnamed_[symbol - tokenizer_.vocab_size()]);
      }
    }
  }

  /// A merge can join what is no token: its bytes then stand alone. One that the vocabulary lacks is left
  /// out, unless it has a token for that by type, too: many files name their end of text as the unknown
  /// token.
  void add_bytes(std::string_view bytes) {
    const Vocabulary& vocabulary = tokenizer_.vocabulary();
    const auto unknown = vocabulary.unknown;
    const bool stands_for_any = unknown && vocabulary.type(*unknown) == TokenType::unknown;
    for (const char byte : bytes) {
      const Symbol symbol = tokenizer_.symbol_of(byte);
      if (tokenizer_.is_token(symbol)) {
        out_.push_back(static_cast<Token>(symbol));
      } else if (stands_for_any) {
        out_.push_back(*unknown);
      }
    }
  }

  const BpeTokenizer& tokenizer_;
  std::vector<Token>& out_;
  WordMerger merger_;
  std::vector<Symbol> merged_;
};

VocabularyDefaults BpeTokenizer::defaults(const PreTokenizer& pre) {
  VocabularyDefaults defaults;
  defaults.adds_bos = pre.adds_bos;
  defaults.bos = 11;  // Falcon's <|endoftext|>, where the file names none
  defaults.eos = 11;
  return defaults;
}

Result<std::unique_ptr<Tokenizer>> BpeTokenizer::create(Vocabulary vocabulary,
                                                        const std::vector<std::string>& merges,
                                                        const PreTokenizer& pre) {
  auto pieces = pieces_of(vocabulary);
  std::unique_ptr<BpeTokenizer> tokenizer(
      new BpeTokenizer(std::move(vocabulary), std::move(pieces), merges.size(), pre));
  TROUPE_TRY_STATUS(tokenizer->add_merges(merges));
  return std::unique_ptr<Tokenizer>(std::move(tokenizer));
}

BpeTokenizer::BpeTokenizer(Vocabulary vocabulary_in, std::vector<std::string> pieces, std::size_t merges,
                           const PreTokenizer& pre)
    : VocabularyTokenizer(std::move(vocabulary_in), std::move(pieces)),
      pre_(pre),
      symbols_(vocab_size() + 256),
      merges_(merges),
      whole_(vocab_size()) {
  const Vocabulary& v = vocabulary();
  std::string bytes;
  for (std::size_t i = 0; i < v.size(); ++i) {
    // Control tokens stay out: whatever a text says, only parse_special may make them of it. So do those that
    // are spelled outside of the byte alphabet, for words are spelled in it.
    if (v.types[i] != TokenType::user_defined && !stands_for_bytes(v.types[i])) continue;
    const auto text = piece(static_cast<Token>(i));
    bytes.clear();
    if (!append_spelled_bytes(bytes, v.spellings[i]) || bytes.empty() || bytes != text) continue;
    symbols_.insert(text, static_cast<Symbol>(i));
  }
}

Status BpeTokenizer::add_merges(const std::vector<std::string>& merges) {
  const auto symbol_of = [&](std::string_view bytes) {
    if (const Symbol* symbol = symbols_.find(bytes)) return *symbol;
    const auto symbol = static_cast<Symbol>(vocab_size() + unnamed_.size());
    unnamed_.push_back(std::make_unique<const std::string>(bytes));
    symbols_.insert(*unnamed_.back(), symbol);
    return symbol;
  };
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char piece[] = {static_cast<char>(byte)};
    byte_symbols_[byte] = symbol_of(std::string_view(piece, 1));
  }
  std::string joined;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size()) return bad_merge(rank, merge);
    // One that is spelled outside of the byte alphabet never meets its parts: words are spelled in it.
    joined.clear();
    if (!append_spelled_bytes(joined, merge.substr(0, space))) continue;
    const std::size_t left_bytes = joined.size();
    if (!append_spelled_bytes(joined, merge.substr(space + 1))) continue;
    const Symbol left = symbol_of(std::string_view(joined).substr(0, left_bytes));
    const Symbol right = symbol_of(std::string_view(joined).substr(left_bytes));
    merges_.insert(left, right, {static_cast<std::uint32_t>(rank), symbol_of(joined)});
  }
  return {};
}

Result<std::vector<Token>> BpeTokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (text.size() > text_bytes_max) {
    return Error{Errc::too_large, "a text of " + std::to_string(text.size()) +
                                      " bytes is too long to encode at once; the limit is " +
                                      std::to_string(text_bytes_max)};
  }
  std::vector<Token> out;
  out.reserve(text.size() / 4 + 2);  // about what prose takes
  if (options.add_special && adds_bos()) out.push_back(*bos());
  Encoder encoder(*this, out);
  for (const SpelledTokens::Part& part : spelled().split(text, options)) {
    if (part.token) {
      out.push_back(*part.token);
    } else {
      encoder.encode(part.text);
    }
  }
  if (options.add_special && adds_eos()) out.push_back(*eos());
  return out;
}

std::string BpeTokenizer::decode(std::span<const Token> tokens, bool render_special) const {
  std::string out;
  for (const Token token : tokens) {
    out += render_special && is_control(token) ? spelling(token) : piece(token);
  }
  return out;
}

}  // namespace troupe
