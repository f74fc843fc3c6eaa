// troupe SUBCOMMAND …: finds the subcommand and hands it the rest.

#include <array>
#include <exception>
#include <string>
#include <string_view>

#include "tools/signals.hpp"
#include "tools/subcommand.hpp"
#include "tools/terminal.hpp"
#include "tools/text_layout.hpp"

namespace {

using namespace troupe::tools;

struct Subcommand {
  std::string_view name;
  std::string_view summary;
  int (*run)(const Arguments&);
};

constexpr std::array<Subcommand, 7> subcommands = {{
    {"chat", "talk to a model", run_chat},
    {"generate", "continue one or many prompts", run_generate},
    {"tokenize", "text to token ids and back", run_tokenize},
    {"inspect", "what a model file holds", run_inspect},
    {"convert", "a model file in another format or weight type", run_convert},
    {"logits", "the model's raw output for a prompt", run_logits},
    {"train", "make a small model from text", run_train},
}};

std::string help_text() {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Subcommand& subcommand : subcommands) rows.emplace_back(subcommand.name, subcommand.summary);
  return "Usage: troupe SUBCOMMAND [MODEL] [OPTIONS]\n\n"
         "Runs transformer language models on CPUs.\n\nSubcommands:\n" +
         definition_list(rows, 80) +
         "\n'troupe SUBCOMMAND --help' lists its options. Results go to standard output, everything else\n"
         "to standard error. Exit status: 0 done, 1 the operation failed, 2 the command line makes no\n"
         "sense, 130 stopped by Ctrl-C.\n";
}

int print(const std::string& text) {
  Output output;
  output.raw(text);
  if (output.failure().empty()) return exit_ok;
  complain(output.failure());
  return exit_failed;
}

int dispatch(const Arguments& arguments) {
  if (arguments.empty()) {
    complain("no subcommand given; see 'troupe --help'");
    return exit_usage;
  }
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h") return print(help_text());
  if (name == "--version" || name == "-V") return print("troupe " TROUPE_VERSION "\n");
  for (const Subcommand& subcommand : subcommands) {
    if (subcommand.name == name) return subcommand.run(Arguments(arguments.begin() + 1, arguments.end()));
  }
  const bool option = name.size() > 1 && name[0] == '-';
  complain((option ? "unknown option '" : "unknown subcommand '") + name + "'; see 'troupe --help'");
  return exit_usage;
}

}  // namespace

int main(int argc, char** argv) {
  hold_standard_descriptors();
  ignore_write_signals();
  try {
    return dispatch(Arguments(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (const std::exception& error) {
    // The library returns its errors; what is left is the standard library's, such as exhausted memory.
    complain(error.what());
    return exit_failed;
  }
}
