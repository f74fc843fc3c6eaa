#pragma once
// What is asked and what comes back: the value types of a request's life. Plain data, freely copied.
// Every field has a default, so that {.prompt = "…"} says what matters and draws no warning.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "troupe/tokenizer.hpp"

namespace troupe {

/// How the next token is chosen. Order of application: logit bias → penalties → temperature → top-k →
/// softmax → top-p → min-p → draw. Ties go to the lower token id. The random number is a pure function of
/// (seed, position), so the same options give the same tokens whatever else runs. Defaults are those that
/// users of local models know.
struct SamplingOptions {
  float temperature = 0.8F;  ///< 0 to 100; 0 takes the most likely token
  std::uint32_t top_k = 40;  ///< keep the k most likely; 0 keeps all
  float top_p = 0.95F;       ///< (0, 1]: keep the smallest set with this much probability; 1 keeps all
  float min_p = 0.05F;       ///< [0, 1]: drop tokens less likely than this share of the best; 0 keeps all
  float repeat_penalty =
      1.0F;  ///< above 0 to 100: divides (multiplies, if negative) the logits of recent tokens; 1 is off
  std::uint32_t repeat_last_n =
      64;  ///< how many tokens back (prompt and answer) repeat_penalty looks, at most 1 000 000; 0 is off
  float presence_penalty = 0.0F;   ///< [-2, 2]: subtracted once for a token that the answer has already
  float frequency_penalty = 0.0F;  ///< [-2, 2]: subtracted for each time the answer has the token
  /// Added to the logits; -infinity forbids a token. At most 4096.
  std::vector<std::pair<Token, float>> logit_bias = {};
  std::uint64_t seed = 0;  ///< any value; equal seeds repeat the answer
};

/// Options of one request. Validated at submission: a value out of range is refused, never clamped.
struct GenerationOptions {
  SamplingOptions sampling = {};
  std::uint32_t max_tokens = 256;  ///< tokens to generate at most; 0 only evaluates the prompt
  /// The answer ends before any of these texts: at most 16, of 1 to 1024 bytes of UTF-8 each.
  std::vector<std::string> stop = {};
  std::vector<Token> stop_tokens = {};  ///< the answer ends before any of these tokens; at most 4096
  bool ignore_eos = false;              ///< do not end at the model's end-of-text tokens
};

/// One turn of a conversation.
struct ChatMessage {
  std::string role;  ///< "system", "user", "assistant", "tool", …
  std::string content;
  /// What else the message has, as a JSON object: {"tool_calls":[…]}, {"name":"f","tool_call_id":"1"}, or a
  /// content that is none or in parts, which then takes the place of `content`. Empty: nothing.
  std::string fields_json = {};
};

/// A conversation to be answered, which the model's chat template makes a prompt of.
struct ChatPrompt {
  std::vector<ChatMessage> messages = {};
  std::string tools_json = {};  ///< the tools that the model may call, a JSON array; empty: none
  /// Further variables of the template, a JSON object, e.g. {"enable_thinking":false}. Empty: none.
  std::string variables_json = {};
  bool add_generation_prompt = true;  ///< end with what begins the assistant's turn
  /// The local time that the template is told, if it asks. nullopt: the clock's. For equal prompts on
  /// different days, state it.
  std::optional<std::chrono::local_seconds> now = {};
};

/// A prompt is text (encoded with the vocabulary's BOS rule, special tokens not parsed out of it), token
/// ids that are taken as they are, or a conversation. Of a conversation special tokens are parsed only where
/// the template spells them, never out of messages; it begins with one BOS where the vocabulary asks for it,
/// whether or not the template spells that too; and the answer also ends at the token by which the template
/// ends the assistant's turn.
using Prompt = std::variant<std::string, std::vector<Token>, ChatPrompt>;

/// Higher priorities are admitted to the generators first.
enum class Priority : std::uint8_t { low = 0, normal = 1, high = 2 };

struct GenerationRequest {
  Prompt prompt = {};
  GenerationOptions options = {};
  /// The request ends at this moment, wherever it is, with what it has so far. nullopt: never.
  std::optional<std::chrono::steady_clock::time_point> deadline = {};
  Priority priority = Priority::normal;
  /// Fairness is between keys, of at most 256 bytes (what is longer, a token of a session say, goes in as its
  /// hash); empty is a key like any other.
  std::string client_key = {};
};

/// Why an answer ended.
enum class FinishReason : std::uint8_t {
  stop,       ///< the model's end-of-text token, a stop text or a stop token
  length,     ///< max_tokens, or the context is full
  cancelled,  ///< by the caller; the text so far is kept
  deadline,   ///< the deadline passed; the text so far is kept
};

/// "stop", "length", "cancelled", "deadline".
const char* finish_reason_name(FinishReason reason) noexcept;

struct Usage {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;
  std::uint32_t cached_tokens = 0;  ///< of the prompt: not computed, because the prefix cache had them
};

/// Milliseconds from submission; ttft_ms is 0 when no token was generated.
struct Timings {
  double queue_ms = 0;  ///< until a generator took the request
  double ttft_ms = 0;   ///< until the first generated token
  double total_ms = 0;  ///< until the end
};

/// Stands for "no token" in an event that carries only text.
inline constexpr Token no_token = -1;

/// A piece of an answer: one generated token and the text it completed. The text may be empty (part of a
/// character, or held back because it may begin a stop text) and is always valid UTF-8. When text is still
/// held back at the end, it comes in one last event whose token is no_token.
struct TokenEvent {
  std::uint32_t index = 0;  ///< 0, 1, 2, … without gaps
  Token token = no_token;
  std::string text;
};

/// A finished answer. `text` is the concatenation of the events' texts. An end-of-text or stop token is not
/// among the tokens; tokens that make up a stop text are, although their text is cut off.
struct Generation {
  std::string text;
  std::vector<Token> tokens;
  FinishReason finish_reason = FinishReason::stop;
  Usage usage;
  Timings timings;
};

}  // namespace troupe
