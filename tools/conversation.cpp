#include "tools/conversation.hpp"

namespace troupe::tools {

std::string plain_text_of(const Conversation& conversation) {
  std::string text = conversation.system;
  for (const ChatMessage& message : conversation.messages) {
    if (message.role == "user" && !text.empty() && text.back() != '\n') text += '\n';
    text += message.content;
  }
  return text;
}

ChatPrompt chat_prompt_of(const Conversation& conversation) {
  ChatPrompt chat;
  if (!conversation.system.empty()) chat.messages.push_back({"system", conversation.system});
  chat.messages.insert(chat.messages.end(), conversation.messages.begin(), conversation.messages.end());
  return chat;
}

Prompt prompt_of(const Conversation& conversation, const Model& model) {
  if (model.info().chat_template.empty()) return plain_text_of(conversation);
  return chat_prompt_of(conversation);
}

Result<std::vector<Token>> tokens_of(const Conversation& conversation, const Model& model) {
  if (model.info().chat_template.empty()) {
    return model.tokenizer().encode(plain_text_of(conversation), {.add_special = true});
  }
  return model.encode_chat(chat_prompt_of(conversation));
}

}  // namespace troupe::tools
