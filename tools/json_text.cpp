#include "tools/json_text.hpp"

#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/utf8.hpp"
#include "tools/text_layout.hpp"

namespace troupe::tools {
namespace {

void append_escaped(std::string& out, std::string_view bytes, char32_t code) {
  switch (code) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  if (code < 0x20 || (code >= 0x7F && code <= 0x9F)) {
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(code));
    out += escape;
  } else {
    out += bytes;
  }
}

std::string milliseconds(double value) {
  return fixed_decimals(std::isfinite(value) ? value : 0, 3);
}

}  // namespace

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  out.reserve(text.size() + 2);
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    append_escaped(out, step.valid ? text.substr(0, step.bytes) : replacement_character,
                   step.valid ? step.code : U'\uFFFD');
    text.remove_prefix(step.bytes);
  }
  return out + "\"";
}

std::string json_number(float value) {
  if (!std::isfinite(value)) return "null";
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);
  return {digits, end.ptr};
}

std::string json_tokens(std::span<const Token> tokens) {
  std::string out = "[";
  for (const Token token : tokens) {
    if (out.size() > 1) out += ',';
    out += std::to_string(token);
  }
  return out + "]";
}

std::string json_generation(std::size_t index, std::string_view prompt, const Result<Generation>& result) {
  const Generation nothing;
  const Generation& answer = result ? *result : nothing;
  std::string out = "{\"index\":" + std::to_string(index) + ",\"prompt\":" + json_quoted(prompt) +
                    ",\"text\":" + json_quoted(answer.text) + ",\"tokens\":" + json_tokens(answer.tokens) +
                    ",\"finish_reason\":\"" + (result ? finish_reason_name(answer.finish_reason) : "error") +
                    "\",\"usage\":{\"prompt_tokens\":" + std::to_string(answer.usage.prompt_tokens) +
                    ",\"completion_tokens\":" + std::to_string(answer.usage.completion_tokens) +
                    ",\"cached_tokens\":" + std::to_string(answer.usage.cached_tokens) +
                    "},\"timings\":{\"queue_ms\":" + milliseconds(answer.timings.queue_ms) +
                    ",\"ttft_ms\":" + milliseconds(answer.timings.ttft_ms) +
                    ",\"total_ms\":" + milliseconds(answer.timings.total_ms) + "}";
  if (!result) {
    out += std::string(",\"error\":{\"code\":\"") + errc_name(result.error().code) +
           "\",\"message\":" + json_quoted(result.error().message) + "}";
  }
  return out + "}";
}

}  // namespace troupe::tools
