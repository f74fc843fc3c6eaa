#include "formats/llama2c_tokenizer.hpp"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/try.hpp"
#include "formats/field_reader.hpp"

namespace troupe {
namespace {

constexpr std::uint64_t unknown_id = 0;  // run.c has these three ids in its code
constexpr std::uint64_t bos_id = 1;
constexpr std::uint64_t eos_id = 2;
constexpr std::uint64_t token_bytes_min = sizeof(float) + sizeof(std::int32_t);

// The numbers of GGUF's tokenizer.ggml.token_type.
enum TokenType : std::int64_t { normal = 1, unknown_token = 2, control = 3, byte = 6 };

bool is_upper_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

bool is_byte_token(std::string_view piece) {
  return piece.size() == 6 && piece.starts_with("<0x") && piece[5] == '>' && is_upper_hex(piece[3]) &&
         is_upper_hex(piece[4]);
}

TokenType type_of(std::uint64_t id, std::string_view piece) {
  if (id == unknown_id) return unknown_token;
  if (id == bos_id || id == eos_id) return control;
  return is_byte_token(piece) ? byte : normal;
}

std::string spelling(std::uint64_t id, std::string_view piece) {
  if (type_of(id, piece) == control && piece.size() > 2 && piece.front() == '\n' && piece.back() == '\n') {
    piece = piece.substr(1, piece.size() - 2);
  }
  std::string out;
  out.reserve(piece.size());
  for (const char c : piece) {
    if (c == ' ') {
      out += "\u2581";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

Status read_llama2c_tokenizer(std::span<const std::byte> file, std::string_view name,
                              std::uint64_t vocab_size, Metadata& out) {
  FieldReader in(file, name);
  const auto of = [](const char* what, std::uint64_t id) {
    return what + (" of token " + std::to_string(id));
  };
  std::int32_t length_max = 0;
  if (!in.read(length_max)) return in.ends_in("max_token_length");
  if (length_max < 1) return in.bad("max_token_length is " + std::to_string(length_max));
  if (vocab_size <= eos_id) {
    return in.bad("the model's vocab_size is " + std::to_string(vocab_size) +
                  ", too small for BOS (id 1) and EOS (id 2)");
  }
  TROUPE_TRY_STATUS(in.check_count("the model's vocab_size", vocab_size, token_bytes_min));

  std::vector<std::string> tokens;
  std::vector<double> scores;
  std::vector<std::int64_t> types;
  tokens.reserve(static_cast<std::size_t>(vocab_size));
  scores.reserve(static_cast<std::size_t>(vocab_size));
  types.reserve(static_cast<std::size_t>(vocab_size));
  for (std::uint64_t id = 0; id < vocab_size; ++id) {
    float score = 0;
    std::int32_t length = 0;
    std::span<const std::byte> bytes;
    if (!in.read(score)) return in.ends_in(of("the score", id));
    if (!std::isfinite(score)) return in.bad(of("the score", id) + " is infinite or not a number");
    if (!in.read(length)) return in.ends_in(of("the length", id));
    // run.c sizes its buffers by max_token_length, so a longer piece is an error there too.
    if (length < 0 || length > length_max) {
      return in.bad(of("the length", id) + " is " + std::to_string(length) +
                    ", not from 0 to max_token_length " + std::to_string(length_max));
    }
    if (!in.read_bytes(static_cast<std::uint64_t>(length), bytes)) {
      return in.bad(of("the length", id) + " is " + std::to_string(length) + ", but only " +
                    std::to_string(in.remaining()) + " bytes follow");
    }
    const std::string_view piece(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    tokens.push_back(spelling(id, piece));
    scores.push_back(static_cast<double>(score));
    types.push_back(type_of(id, piece));
  }
  if (in.remaining() != 0) {
    return in.bad(std::to_string(in.remaining()) + " bytes follow the last of the model's " +
                  std::to_string(vocab_size) + " tokens: the tokenizer belongs to another model");
  }

  out.insert("tokenizer.ggml.model", std::string("llama"));
  out.insert("tokenizer.ggml.tokens", std::move(tokens));
  out.insert("tokenizer.ggml.scores", std::move(scores));
  out.insert("tokenizer.ggml.token_type", std::move(types));
  out.insert("tokenizer.ggml.unknown_token_id", unknown_id);
  out.insert("tokenizer.ggml.bos_token_id", bos_id);
  out.insert("tokenizer.ggml.eos_token_id", eos_id);
  out.insert("tokenizer.ggml.add_bos_token", true);
  out.insert("tokenizer.ggml.add_eos_token", false);
  out.insert("tokenizer.ggml.add_space_prefix", true);
  return {};
}

}  // namespace troupe
