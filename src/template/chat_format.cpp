#include "template/chat_format.hpp"

#include <algorithm>
#include <boost/json.hpp>

#include "base/try.hpp"
#include "template/chat_variables.hpp"

namespace troupe {
namespace {

namespace json = boost::json;

constexpr std::string_view template_key = "tokenizer.chat_template";
constexpr std::string_view names_key = "tokenizer.chat_templates";

/// A template by its name, empty for the main one. Files keep several as keys of their own, or as an array
/// beside one of their names.
Result<std::string> template_text(const Metadata& metadata, std::string_view name) {
  const MetadataValue* main = metadata.find(template_key);
  if (main != nullptr) {
    if (const auto* texts = std::get_if<std::vector<std::string>>(main)) {
      TROUPE_TRY(const auto* names, metadata.get_strings(names_key));
      for (std::size_t i = 0; i < texts->size(); ++i) {
        const bool has_name = names != nullptr && i < names->size();
        const std::string_view own = has_name ? std::string_view((*names)[i]) : i == 0 ? "default" : "";
        if (own == (name.empty() ? "default" : name)) return (*texts)[i];
      }
    } else if (name.empty()) {
      return metadata.need_string(template_key);
    }
  }
  std::string key(template_key);
  key.append(".").append(name.empty() ? "default" : name);
  TROUPE_TRY(auto text, metadata.get_string(key));
  return std::move(text).value_or("");
}

/// What the answer of the probe is, and can be found by.
constexpr std::string_view probe_answer = "troupe";

}  // namespace

ChatFormat::ChatFormat(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {
  if (const auto bos = tokenizer.bos()) tokens_.bos = tokenizer.spelling(*bos);
  if (const auto eos = tokenizer.eos()) tokens_.eos = tokenizer.spelling(*eos);
}

Result<ChatFormat> ChatFormat::read(const Metadata& metadata, const Tokenizer& tokenizer,
                                    std::string_view replacement) {
  ChatFormat format(tokenizer);
  if (!replacement.empty()) {
    auto parsed = ChatTemplate::parse(replacement);
    if (!parsed) {
      Error error = std::move(parsed).error();
      if (error.code == Errc::bad_file) error.code = Errc::bad_argument;
      return error;
    }
    format.source_ = replacement;
    format.main_ = std::move(parsed);
  } else {
    TROUPE_TRY(format.source_, template_text(metadata, ""));
    TROUPE_TRY(const std::string for_tools, template_text(metadata, "tool_use"));
    if (!format.source_.empty()) format.main_ = ChatTemplate::parse(format.source_);
    if (!for_tools.empty()) format.with_tools_ = ChatTemplate::parse(for_tools);
  }
  format.find_end_tokens();
  return format;
}

Result<const ChatTemplate*> ChatFormat::chosen(bool with_tools) const {
  const auto& parsed = with_tools && with_tools_ ? with_tools_ : main_;
  if (!parsed) {
    return Error{Errc::unsupported, "the model has no chat template; give one, or a prompt that is text"};
  }
  if (!*parsed) return parsed->error();
  return parsed->value().get();
}

Result<RenderedChat> ChatFormat::render(const ChatPrompt& chat) const {
  TROUPE_TRY(json::object variables, variables_of(chat, tokens_));
  return render(std::move(variables), chat.now);
}

Result<RenderedChat> ChatFormat::render(json::object variables,
                                        std::optional<std::chrono::local_seconds> now) const {
  complete_variables(variables, tokens_);
  const json::value* tools = variables.if_contains("tools");
  const bool with_tools = tools->is_array() && !tools->get_array().empty();
  TROUPE_TRY(const ChatTemplate* chat_template, chosen(with_tools));
  return render_with(chat_template->parts().program, variables, now);
}

Result<std::vector<Token>> ChatFormat::encode(const ChatPrompt& chat) const {
  TROUPE_TRY(const RenderedChat rendered, render(chat));
  EncodeOptions options;
  options.parse_special = true;
  options.special_ranges = rendered.literal;
  TROUPE_TRY(auto tokens, tokenizer_->encode(rendered.text, options));
  // Most templates spell BOS, some leave it to the vocabulary: one it is either way.
  const auto bos = tokenizer_->bos();
  if (tokenizer_->adds_bos() && bos && (tokens.empty() || tokens.front() != *bos)) {
    tokens.insert(tokens.begin(), *bos);
  }
  return tokens;
}

/// Renders a conversation whose last message is an answer, and sees what stands behind that.
void ChatFormat::find_end_tokens() {
  ChatTemplateLimits limits;
  limits.steps_max = 500'000;  // opening a model does not wait for a template that never ends
  const auto probed = ChatTemplate::parse(source_, limits);
  if (!main_ || !probed) return;
  ChatPrompt probe;
  probe.messages = {{"user", "Hello"}, {"assistant", std::string(probe_answer)}};
  probe.add_generation_prompt = false;
  probe.now = std::chrono::local_seconds{};
  const auto rendered = (*probed)->render(probe, tokens_);
  if (!rendered) return;  // a template that refuses such a conversation has its reasons, and tells nothing
  const std::size_t answer = rendered->text.rfind(probe_answer);
  if (answer == std::string::npos) return;
  EncodeOptions options;
  options.parse_special = true;
  std::string_view behind = std::string_view(rendered->text).substr(answer + probe_answer.size());
  behind.remove_prefix(std::min(behind.find_first_not_of(" \n"), behind.size()));
  const auto tokens = tokenizer_->encode(behind, options);
  if (!tokens || tokens->empty()) return;
  const Token first = tokens->front();
  // The unknown token is none of these, though it counts as control.
  const bool is_spelled = behind.starts_with(tokenizer_->spelling(first));
  if (is_spelled && tokenizer_->is_control(first) && !tokenizer_->ends_generation(first))
    end_tokens_.push_back(first);
}

}  // namespace troupe
