#pragma once

#include <string>
#include <vector>

#include "troupe/generation.hpp"
#include "troupe/model.hpp"

namespace troupe::tools {

/// What was said so far.
struct Conversation {
  std::string system;                 ///< instructions in front of everything; may be empty
  std::vector<ChatMessage> messages;  ///< roles "user" and "assistant"
};

/// The prompt for the next answer, for models without a chat template: the system text and a newline, then
/// the turns. An answer continues the text of its user's turn directly, as story models do; a newline
/// separates it from the next user's turn unless it ends in one.
std::string plain_text_of(const Conversation& conversation);

/// The prompt for the next answer of a model with a chat template: the system text, if there is one, as the
/// first message.
ChatPrompt chat_prompt_of(const Conversation& conversation);

/// Whichever of the two the model wants.
Prompt prompt_of(const Conversation& conversation, const Model& model);

/// The tokens that an Engine makes of it.
Result<std::vector<Token>> tokens_of(const Conversation& conversation, const Model& model);

}  // namespace troupe::tools
