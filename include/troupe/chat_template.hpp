#pragma once
// Chat templates: the Jinja text by which a model file says how a conversation becomes a prompt.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "troupe/error.hpp"
#include "troupe/generation.hpp"
#include "troupe/options.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe {

/// A rendered conversation. Special tokens may be parsed out of `literal` only: the template's own text, with
/// bos_token, eos_token, and roles. Everything else was said by someone and is plain text, whatever it
/// spells.
struct RenderedChat {
  std::string text;
  std::vector<TextRange> literal;  ///< ascending, apart from each other, none empty
};

/// How the vocabulary spells what templates call bos_token and eos_token; empty where it has none.
struct SpecialTexts {
  std::string bos;
  std::string eos;
};

struct ChatTemplateParts;  // internal: src/template/chat_variables.hpp

/// One template, parsed. Immutable: any number of threads may render it at once.
///
/// The language is Jinja2's as Hugging Face sets it up (trim_blocks, lstrip_blocks, break and continue,
/// {% generation %}, tojson as json.dumps(), raise_exception, strftime_now), without what concerns files
/// (include, import, extends, block) and without recursive loops. Templates are not trusted: each rendering
/// has the limits of ChatTemplateLimits and sees nothing but its variables and the time.
class ChatTemplate {
 public:
  /// Errors: bad_file (naming the line), too_large (the text, or its nesting). Linear in the text.
  static Result<std::shared_ptr<const ChatTemplate>> parse(std::string_view source,
                                                           const ChatTemplateLimits& limits = {});

  /// The prompt of a conversation. Besides what `chat` brings the template sees bos_token, eos_token,
  /// add_generation_prompt, and tools and documents (none unless given). Errors: bad_argument (naming the
  /// line: the template refuses the conversation, or cannot deal with it; or JSON of `chat` is broken),
  /// too_large (a limit is reached).
  Result<RenderedChat> render(const ChatPrompt& chat, const SpecialTexts& tokens = {}) const;

  /// The same with the variables as one JSON object, e.g. {"messages":[…],"add_generation_prompt":true};
  /// nothing is added to them. bos_token and eos_token in it count as the template's own text. `now` is what
  /// strftime_now() tells; nullopt: the clock's local time.
  Result<RenderedChat> render_json(std::string_view variables,
                                   std::optional<std::chrono::local_seconds> now = {}) const;

  explicit ChatTemplate(ChatTemplateParts parts);  // internal; use parse()
  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;
  const ChatTemplateParts& parts() const noexcept { return *parts_; }

 private:
  std::unique_ptr<const ChatTemplateParts> parts_;
};

}  // namespace troupe
