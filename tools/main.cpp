// troupe SUBCOMMAND …: finds the subcommand and hands it the rest.

#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/near_name.hpp"
#include "tools/signals.hpp"
#include "tools/subcommand.hpp"
#include "tools/terminal.hpp"
#include "tools/text_layout.hpp"
#include "troupe/version.hpp"

namespace {

using namespace troupe::tools;

struct Subcommand {
  std::string_view name;
  std::string_view summary;
  int (*run)(const Arguments&);
};

constexpr Subcommand subcommands[] = {
    {"chat", "talk to a model", run_chat},
    {"generate", "continue one or many prompts", run_generate},
    {"tokenize", "text to token ids and back", run_tokenize},
    {"template", "the prompt that a chat template makes of a conversation", run_template},
    {"inspect", "what a model file holds", run_inspect},
    {"convert", "a model file in another format or weight type", run_convert},
    {"logits", "the model's raw output for a prompt", run_logits},
    {"perplexity", "how well a model predicts a text", run_perplexity},
    {"bench", "the engine under load: throughput and latencies", run_bench},
    {"bench-model", "how fast the forward pass is", run_bench_model},
    {"train", "make a small model from text", run_train},
};

std::string help_text() {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Subcommand& subcommand : subcommands) rows.emplace_back(subcommand.name, subcommand.summary);
  return "Usage: troupe SUBCOMMAND [MODEL] [OPTIONS]\n\n"
         "Runs transformer language models on CPUs.\n\nSubcommands:\n" +
         definition_list(rows, 80) +
         "\n'troupe help SUBCOMMAND' lists its options. Results go to standard output, everything else\n"
         "to standard error. Exit status: 0 done, 1 the operation failed, 2 the command line makes no\n"
         "sense, 130 stopped by Ctrl-C (128 + the number of any signal that ended it).\n";
}

int print(const std::string& text) {
  Output output;
  output.raw(text);
  if (output.failure().empty()) return exit_ok;
  complain(output.failure());
  return exit_failed;
}

const Subcommand* find(const std::string& name) {
  for (const Subcommand& subcommand : subcommands) {
    if (subcommand.name == name) return &subcommand;
  }
  return nullptr;
}

int unknown(const std::string& name) {
  std::string message =
      (name.rfind('-', 0) == 0 && name.size() > 1 ? "unknown option '" : "unknown subcommand '") + name +
      "'; ";
  std::vector<std::string> names = {"help"};
  for (const Subcommand& subcommand : subcommands) names.emplace_back(subcommand.name);
  if (const std::string_view near = near_name(name, names); !near.empty())
    message += "did you mean " + std::string(near) + "? ";
  complain(message + "See 'troupe --help'");
  return exit_usage;
}

int unexpected(const std::string& argument) {
  complain("unexpected argument '" + argument + "'; see 'troupe --help'");
  return exit_usage;
}

bool asks_for_help(const std::string& word) {
  return word == "help" || word == "--help" || word == "-h";
}

int dispatch(const Arguments& arguments) {
  if (arguments.empty()) {
    complain("no subcommand given; see 'troupe --help'");
    return exit_usage;
  }
  const std::string& name = arguments.front();
  const bool help = asks_for_help(name);
  const bool version = name == "--version" || name == "-V";
  const std::size_t wanted = help ? 2 : 1;  // help may be about a subcommand
  if ((help || version) && arguments.size() > wanted) return unexpected(arguments[wanted]);
  if (version) return print("troupe " TROUPE_VERSION "\n");
  if (help && (arguments.size() == 1 || asks_for_help(arguments[1]))) return print(help_text());
  if (help) {
    const Subcommand* subcommand = find(arguments[1]);
    return subcommand != nullptr ? subcommand->run({"--help"}) : unknown(arguments[1]);
  }
  const Subcommand* subcommand = find(name);
  return subcommand != nullptr ? subcommand->run(Arguments(arguments.begin() + 1, arguments.end()))
                               : unknown(name);
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
