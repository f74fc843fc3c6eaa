#include "tools/open_model.hpp"

#include "base/try.hpp"
#include "base/utf8.hpp"
#include "formats/open.hpp"
#include "tokenizer/load.hpp"
#include "tools/progress_bar.hpp"
#include "tools/prompt_file.hpp"
#include "tools/signals.hpp"
#include "troupe/chat_template.hpp"

namespace troupe::tools {

Result<std::string> read_chat_template(const std::string& path) {
  TROUPE_TRY(std::string text, read_text_file(path));
  if (text.empty()) return Error{Errc::bad_argument, "the chat template " + in_quotes(path) + " is empty"};
  if (auto parsed = ChatTemplate::parse(text); !parsed) {
    Error error = std::move(parsed).error();
    error.message = in_quotes(path) + ": " + error.message;
    return error;
  }
  return text;
}

Result<std::shared_ptr<const Model>> open_model(const ModelFlags& flags, std::uint32_t threads,
                                                bool vocabulary_optional) {
  TROUPE_TRY(const std::filesystem::path path, flags.path());
  ProgressBar bar("loading " + path.filename().string());
  ModelOptions options;
  options.tokenizer = flags.tokenizer;
  options.threads = threads;
  options.vocabulary_optional = vocabulary_optional;
  if (!flags.chat_template.empty()) {
    TROUPE_TRY(options.chat_template, read_chat_template(flags.chat_template));
  }
  return Model::open(path, options, [&](double share) {
    bar.show(share);
    return !stop_requested();
  });
}

Status check_chat_template(const Model& model) {
  if (model.info().chat_template.empty()) return {};
  ChatPrompt greeting;
  greeting.messages = {{"user", "Hello"}};
  auto rendered = model.render_chat(greeting);
  if (rendered || rendered.error().code != Errc::bad_file) return {};
  Error error = std::move(rendered).error();
  error.message += "; --chat-template FILE takes another";
  return error;
}

Result<std::unique_ptr<Tokenizer>> open_tokenizer(const ModelFlags& flags) {
  TROUPE_TRY(const std::filesystem::path path, flags.path());
  TROUPE_TRY(const Checkpoint checkpoint, open_checkpoint(path, {flags.tokenizer}));
  return load_tokenizer(checkpoint);
}

int report(const Error& error) {
  if (stop_requested()) return stop_exit_status();
  complain(error.message);
  return exit_failed;
}

int finish_output(const Output& output, int status) {
  const std::string failure = output.failure();
  if (failure.empty()) return status;
  complain(failure);
  return exit_failed;
}

}  // namespace troupe::tools
