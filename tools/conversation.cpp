#include "tools/conversation.hpp"

namespace troupe::tools {

std::string render_conversation(const Conversation& conversation) {
  std::string text = conversation.system;
  for (const ChatMessage& message : conversation.messages) {
    if (message.role == "user" && !text.empty() && text.back() != '\n') text += '\n';
    text += message.content;
  }
  return text;
}

}  // namespace troupe::tools
