#pragma once

#include <string>
#include <vector>

#include "troupe/generation.hpp"

namespace troupe::tools {

/// What was said so far.
struct Conversation {
  std::string system;                 ///< instructions in front of everything; may be empty
  std::vector<ChatMessage> messages;  ///< roles "user" and "assistant"
};

/// The prompt for the next answer, as plain text: the system text and a newline, then the turns. An answer
/// continues the text of its user's turn directly, as story models do; a newline separates it from the next
/// user's turn unless it ends in one. Chat templates of model files are not applied.
std::string render_conversation(const Conversation& conversation);

}  // namespace troupe::tools
