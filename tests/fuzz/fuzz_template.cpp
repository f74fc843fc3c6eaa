// Any bytes as a chat template, rendered for a small conversation.

#include <string_view>

#include "tests/fuzz/target.hpp"
#include "troupe/chat_template.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  troupe::ChatTemplateLimits limits;
  limits.steps_max = 200'000;
  limits.text_bytes_max = 1U << 20;
  limits.memory_bytes_max = 1U << 23;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto parsed = troupe::ChatTemplate::parse(source, limits);
  if (!parsed) return 0;
  troupe::ChatPrompt chat;
  chat.messages = {{"system", "S"},
                   {"user", "H\xC3\xA9\n"},
                   {"assistant", "", R"({"tool_calls":[{"function":{"name":"f"}}]})"}};
  chat.tools_json = R"([{"function":{"name":"f","parameters":{"properties":{"a":{"type":"string"}}}}}])";
  static_cast<void>((*parsed)->render(chat, {"<s>", "</s>"}));
  return 0;
}
