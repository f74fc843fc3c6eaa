#pragma once
// How one model chats: the templates of its file and the vocabulary that spells their tokens.

#include <boost/json/object.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/checkpoint.hpp"
#include "troupe/chat_template.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe {

/// Immutable. Refers to the tokenizer, which must outlive it.
class ChatFormat {
 public:
  /// Reads `tokenizer.chat_template`, and `tokenizer.chat_template.tool_use`, which takes its place when
  /// there are tools; `replacement` takes the place of both, unless it is empty. A template of the file that
  /// cannot be parsed is no error until it is used. Errors: bad_argument (the replacement cannot be parsed),
  /// bad_file (a template is no text).
  static Result<ChatFormat> read(const Metadata& metadata, const Tokenizer& tokenizer,
                                 std::string_view replacement = {});

  bool has_template() const noexcept { return !source_.empty(); }
  const std::string& source() const noexcept { return source_; }  ///< of the main template

  /// Errors: unsupported (there is no template), bad_file (the file's does not parse), and
  /// ChatTemplate::render()'s.
  Result<RenderedChat> render(const ChatPrompt& chat) const;
  /// The same with variables of the caller's, completed by what every template may count on.
  Result<RenderedChat> render(boost::json::object variables,
                              std::optional<std::chrono::local_seconds> now) const;

  /// render() as tokens: special tokens out of template text only, and one BOS in front where the
  /// vocabulary adds one.
  Result<std::vector<Token>> encode(const ChatPrompt& chat) const;

  /// The tokens that the template puts behind an assistant's message, besides those that end a generation
  /// anyway; mostly none.
  const std::vector<Token>& end_tokens() const noexcept { return end_tokens_; }

 private:
  explicit ChatFormat(const Tokenizer& tokenizer);
  Result<const ChatTemplate*> chosen(bool with_tools) const;
  void find_end_tokens();

  using Parsed = Result<std::shared_ptr<const ChatTemplate>>;

  const Tokenizer* tokenizer_;
  SpecialTexts tokens_;
  std::string source_;
  std::optional<Parsed> main_, with_tools_;
  std::vector<Token> end_tokens_;
};

}  // namespace troupe
