#include "train/corpus.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/check.hpp"
#include "base/mapped_file.hpp"
#include "base/random.hpp"
#include "base/try.hpp"
#include "base/utf8.hpp"
#include "tokenizer/vocabulary.hpp"
#include "train/bpe_trainer.hpp"

namespace troupe::train {
namespace {

constexpr std::string_view white_space = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(white_space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(white_space) - first + 1);
}

std::vector<std::string_view> split_documents(std::string_view text) {
  std::vector<std::string_view> out;
  if (text.find(document_mark) == std::string_view::npos) return {text};
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(document_mark), text.size());
    if (const auto document = trimmed(text.substr(0, end)); !document.empty()) out.push_back(document);
    text.remove_prefix(std::min(text.size(), end + document_mark.size()));
  }
  return out;
}

std::string in_file(const std::filesystem::path& path) {
  return in_quotes(path.string());
}

Status find_characters(std::span<const TextFile> files, std::set<char32_t>& found) {
  for (const TextFile& file : files) {
    for (const std::string_view document : file.documents) {
      for (std::string_view rest = document; !rest.empty();) {
        const Utf8Step step = utf8_step(rest);
        if (!step.valid) {
          std::string message = in_file(file.path);
          message.append(" is no UTF-8 at byte ").append(std::to_string(rest.data() - file.text.data()));
          message.append("; characters need UTF-8, --vocab bpe:N takes any bytes");
          return Error{Errc::bad_argument, std::move(message)};
        }
        found.insert(step.code);
        rest.remove_prefix(step.bytes);
      }
    }
  }
  return {};
}

Status encode_document(const Tokenizer& tokenizer, const TextFile& file, std::string_view document,
                       std::vector<Token>& out) {
  auto tokens = tokenizer.encode(document);
  if (!tokens) {
    std::string message = in_file(file.path);
    message.append(": ").append(tokens.error().message);
    return Error{tokens.error().code, std::move(message)};
  }
  out.push_back(*tokenizer.bos());
  out.insert(out.end(), tokens->begin(), tokens->end());
  return {};
}

Status append(const Tokenizer& tokenizer, const TextFile& file, std::span<const std::string_view> documents,
              TokenText& out) {
  for (const std::string_view document : documents) {
    TROUPE_TRY_STATUS(encode_document(tokenizer, file, document, out.tokens));
    out.bytes += document.size();
  }
  return {};
}

/// A document is cut by characters, so that both parts are encoded as texts of their own.
std::size_t character_boundary(std::string_view text, std::size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

/// The end of a file's documents is held back, cut between two of them. Only the last one, where all that is
/// to be held back lies in it, is cut itself.
Status append_split(const Tokenizer& tokenizer, const TextFile& file, double share, Corpus& corpus) {
  std::uint64_t bytes = 0;
  for (const auto document : file.documents) bytes += document.size();
  const auto kept = static_cast<std::uint64_t>(static_cast<double>(bytes) * (1 - share));
  const std::span<const std::string_view> documents(file.documents);
  std::size_t count = 0;
  std::uint64_t sum = 0;
  for (; count + 1 < documents.size() && sum < kept; ++count) sum += documents[count].size();
  TROUPE_TRY_STATUS(append(tokenizer, file, documents.first(count), corpus.training));
  if (sum >= kept) return append(tokenizer, file, documents.subspan(count), corpus.validation);
  const std::string_view last = documents.back();
  const std::size_t cut = character_boundary(last, static_cast<std::size_t>(kept - sum));
  const std::string_view parts[] = {last.substr(0, cut), last.substr(cut)};
  TROUPE_TRY_STATUS(append(tokenizer, file, std::span(parts).first(1), corpus.training));
  if (parts[1].empty()) return {};
  return append(tokenizer, file, std::span(parts).last(1), corpus.validation);
}

std::uint64_t fingerprint(std::uint64_t hash, std::span<const Token> tokens) {  // FNV-1a over 32-bit units
  for (const Token token : tokens) hash = (hash ^ static_cast<std::uint32_t>(token)) * 0x100000001B3U;
  return (hash ^ tokens.size()) * 0x100000001B3U;
}

void copy_window(const TokenText& text, std::size_t start, std::size_t time, Token* inputs, Token* targets) {
  const Token* from = text.tokens.data() + start;
  std::copy_n(from, time, inputs);
  std::copy_n(from + 1, time, targets);
}

}  // namespace

Result<std::vector<TextFile>> read_texts(std::span<const std::filesystem::path> paths) {
  std::vector<TextFile> out;
  out.reserve(paths.size());
  for (const auto& path : paths) {
    TROUPE_TRY(const auto mapped, MappedFile::open(path));
    TextFile& file = out.emplace_back();
    file.path = path;
    const auto bytes = mapped->bytes();
    file.text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  for (TextFile& file : out) {  // views last: moving a short string moves its characters
    file.documents = split_documents(file.text);
    if (file.documents.empty()) return Error{Errc::bad_file, in_file(file.path).append(" holds no text")};
  }
  return out;
}

Result<VocabularyChoice> parse_vocabulary(std::string_view text) {
  VocabularyChoice choice;
  if (text == "char") return choice;
  constexpr std::string_view prefix = "bpe:";
  if (text.starts_with(prefix)) {
    const std::string_view number = text.substr(prefix.size());
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), choice.tokens);
    if (error == std::errc() && end == number.data() + number.size() && choice.tokens >= 257 &&
        choice.tokens <= 65536) {
      choice.characters = false;
      return choice;
    }
  }
  std::string message = in_quotes(text);
  message.append(" is no vocabulary; give char, or bpe:N with N from 257 to 65536");
  return Error{Errc::bad_argument, std::move(message)};
}

Result<Metadata> learn_vocabulary(const VocabularyChoice& choice, std::span<const TextFile> files,
                                  std::span<const TextFile> validation_files) {
  Metadata metadata;
  std::vector<std::string> tokens;
  if (choice.characters) {
    std::set<char32_t> characters;
    TROUPE_TRY_STATUS(find_characters(files, characters));
    TROUPE_TRY_STATUS(find_characters(validation_files, characters));
    for (const char32_t code : characters) tokens.push_back(utf8_encode(code));
    metadata.insert("tokenizer.ggml.model", "char");
  } else {
    std::vector<std::string_view> documents;
    for (const TextFile& file : files)
      documents.insert(documents.end(), file.documents.begin(), file.documents.end());
    TROUPE_TRY(auto learnt, learn_bpe(documents, choice.tokens - 257));
    tokens = std::move(learnt.tokens);
    metadata.insert("tokenizer.ggml.model", "gpt2");
    metadata.insert("tokenizer.ggml.pre", "gpt-2");
    metadata.insert("tokenizer.ggml.merges", std::move(learnt.merges));
  }
  const std::uint64_t mark = tokens.size();
  std::vector<std::int64_t> types(tokens.size(), static_cast<std::int64_t>(TokenType::normal));
  tokens.emplace_back(document_mark);
  types.push_back(static_cast<std::int64_t>(TokenType::control));
  metadata.insert("tokenizer.ggml.tokens", std::move(tokens));
  metadata.insert("tokenizer.ggml.token_type", std::move(types));
  metadata.insert("tokenizer.ggml.bos_token_id", mark);
  metadata.insert("tokenizer.ggml.eos_token_id", mark);
  metadata.insert("tokenizer.ggml.add_bos_token", true);
  metadata.insert("tokenizer.ggml.add_eos_token", false);
  return metadata;
}

Result<Corpus> encode_corpus(const Tokenizer& tokenizer, std::span<const TextFile> files,
                             std::span<const TextFile> validation_files, double validation_share) {
  Corpus corpus;
  for (const TextFile& file : files) {
    if (validation_files.empty() && validation_share > 0) {
      TROUPE_TRY_STATUS(append_split(tokenizer, file, validation_share, corpus));
    } else {
      TROUPE_TRY_STATUS(append(tokenizer, file, file.documents, corpus.training));
    }
  }
  for (const TextFile& file : validation_files)
    TROUPE_TRY_STATUS(append(tokenizer, file, file.documents, corpus.validation));
  // The mark ends the last document too; the model learns there to stop.
  for (TokenText* text : {&corpus.training, &corpus.validation})
    if (!text->tokens.empty()) text->tokens.push_back(*tokenizer.bos());
  corpus.fingerprint = fingerprint(0xCBF29CE484222325U, corpus.training.tokens);
  corpus.fingerprint = fingerprint(corpus.fingerprint, corpus.validation.tokens);
  return corpus;
}

void draw_windows(const TokenText& text, std::uint64_t seed, std::uint64_t number, std::size_t windows,
                  std::size_t time, std::span<Token> inputs, std::span<Token> targets) {
  TROUPE_CHECK(text.tokens.size() > time && inputs.size() >= windows * time &&
               targets.size() >= windows * time);
  const auto starts = static_cast<double>(text.tokens.size() - time);
  // Away from the numbers of the initial weights, which begin at 0 of the same seed.
  constexpr std::uint64_t first_number = std::uint64_t{1} << 62;
  for (std::size_t i = 0; i < windows; ++i) {
    const auto start = static_cast<std::size_t>(uniform_at(seed, first_number + number + i) * starts);
    copy_window(text, start, time, inputs.data() + i * time, targets.data() + i * time);
  }
}

void take_windows(const TokenText& text, std::size_t number, std::size_t total, std::size_t windows,
                  std::size_t time, std::span<Token> inputs, std::span<Token> targets) {
  TROUPE_CHECK(text.tokens.size() > time && number + windows <= total);
  const std::size_t starts = text.tokens.size() - time;  // start 0 .. starts - 1
  for (std::size_t i = 0; i < windows; ++i) {
    const std::size_t start = total == 1 ? 0 : (number + i) * (starts - 1) / (total - 1);
    copy_window(text, start, time, inputs.data() + i * time, targets.data() + i * time);
  }
}

}  // namespace troupe::train
