#include "tools/open_model.hpp"

#include "base/try.hpp"
#include "base/utf8.hpp"
#include "formats/open.hpp"
#include "tokenizer/load.hpp"
#include "tools/progress_bar.hpp"
#include "tools/prompt_file.hpp"
#include "tools/signals.hpp"

namespace troupe::tools {

Result<std::shared_ptr<const Model>> open_model(const ModelFlags& flags, std::uint32_t threads,
                                                bool vocabulary_optional) {
  TROUPE_TRY(const std::filesystem::path path, flags.path());
  ProgressBar bar("loading " + path.filename().string());
  ModelOptions options;
  options.tokenizer = flags.tokenizer;
  options.threads = threads;
  options.vocabulary_optional = vocabulary_optional;
  if (!flags.chat_template.empty()) {
    TROUPE_TRY(options.chat_template, read_text_file(flags.chat_template));
    if (options.chat_template.empty()) {
      return Error{Errc::bad_argument, "the chat template " + in_quotes(flags.chat_template) + " is empty"};
    }
  }
  return Model::open(path, options, [&](double share) {
    bar.show(share);
    return !stop_requested();
  });
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
