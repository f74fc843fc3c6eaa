// troupe tokenize: text to token ids and back.

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/try.hpp"
#include "tools/cli_options.hpp"
#include "tools/json_text.hpp"
#include "tools/number_text.hpp"
#include "tools/open_model.hpp"
#include "tools/prompt_file.hpp"
#include "tools/terminal.hpp"
#include "tools/token_lines.hpp"

namespace troupe::tools {
namespace {

struct TokenizeFlags {
  ModelFlags model;
  std::optional<std::string> text;
  std::string file;
  std::optional<std::vector<Token>> decode;
  EncodeOptions encode;
  bool json = false;
};

void declare(CommandLine& command_line, TokenizeFlags& flags) {
  flags.model.declare(command_line);
  command_line.positional("TEXT", "the text, also without a MODEL; after -- if it begins with a dash",
                          flags.text);
  command_line.text("--file", "FILE", "read the text from a file, every byte of it; - is standard input",
                    flags.file);
  command_line.flag("--add-special", "put BOS in front and EOS behind where the vocabulary asks for it",
                    flags.encode.add_special);
  command_line.flag("--parse-special",
                    "recognise control tokens written out in the text; with --decode, print them",
                    flags.encode.parse_special);
  command_line.option("--decode", "IDS", "print the text of these token ids, e.g. 1,403,407",
                      [&flags](std::string_view what, const std::string& value) -> Status {
                        TROUPE_TRY(flags.decode, parse_tokens(what, value));
                        return {};
                      });
  command_line.flag("--json", "print {\"tokens\":[ids]}, with --decode also \"text\"", flags.json);
}

Result<std::string> tokenize(const TokenizeFlags& flags) {
  TROUPE_TRY(const auto tokenizer, open_tokenizer(flags.model));
  if (flags.decode) {
    TROUPE_TRY_STATUS(check_tokens("--decode", *flags.decode, tokenizer->vocab_size()));
    const std::string text = tokenizer->decode(*flags.decode, flags.encode.parse_special);
    if (!flags.json) return text + "\n";
    return "{\"tokens\":" + json_tokens(*flags.decode) + ",\"text\":" + json_quoted(text) + "}\n";
  }
  std::string text = flags.text.value_or("");
  if (!flags.file.empty()) {
    TROUPE_TRY(text, read_text_file(flags.file));
  }
  TROUPE_TRY(const std::vector<Token> tokens, tokenizer->encode(text, flags.encode));
  return flags.json ? "{\"tokens\":" + json_tokens(tokens) + "}\n" : token_lines(*tokenizer, tokens);
}

bool names_a_model(const std::filesystem::path& word) {
  std::error_code no_such_file;
  return has_model_extension(word) || std::filesystem::exists(word, no_such_file);
}

/// Why a single word is not the text.
std::string taken_for_model(const std::string& word) {
  return "'" + word + "' was taken for the MODEL" +
         (has_model_extension(word) ? "" : ", because there is a file or folder of that name") + "; ";
}

}  // namespace

int run_tokenize(const Arguments& arguments) {
  CommandLine command_line(
      "tokenize", "[MODEL] [TEXT] [OPTIONS]",
      "Prints the token ids of a text, one per line with what each stands for, or the text of "
      "token ids. Neither BOS and EOS nor special tokens unless asked for. Of the model file "
      "only the vocabulary is needed.");
  TokenizeFlags flags;
  declare(command_line, flags);
  if (const auto status = command_line.parse(arguments)) return *status;
  // A single word is a text for the bundled model's vocabulary, unless it names a model.
  if (flags.model.model && !flags.text && flags.file.empty() && !flags.decode &&
      !names_a_model(*flags.model.model)) {
    flags.text = std::exchange(flags.model.model, {});
  }
  if (const Status status = flags.model.check(); !status)
    return command_line.usage_error(status.error().message);
  const int sources = (flags.text ? 1 : 0) + (flags.file.empty() ? 0 : 1) + (flags.decode ? 1 : 0);
  if (sources == 0) {
    return command_line.usage_error(
        "nothing to do: " + (flags.model.model ? taken_for_model(*flags.model.model) : std::string()) +
        "give TEXT, --file FILE or --decode IDS");
  }
  if (sources > 1) return command_line.usage_error("give only one of TEXT, --file and --decode");
  if (flags.decode && flags.encode.add_special)
    return command_line.usage_error("--add-special is about encoding, so it cannot go with --decode");
  const auto result = tokenize(flags);
  if (!result) return report(result.error());
  Output output;
  output.text(*result);
  output.end_text();
  return finish_output(output, exit_ok);
}

}  // namespace troupe::tools
