#include "tools/cli_options.hpp"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

// CLI11 is header-only and warns under our flags.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#pragma GCC diagnostic pop

#include "base/try.hpp"
#include "tools/bundled_model.hpp"
#include "tools/generation_settings.hpp"
#include "tools/near_name.hpp"
#include "tools/number_text.hpp"
#include "tools/terminal.hpp"
#include "tools/text_layout.hpp"

namespace troupe::tools {
namespace {

constexpr std::size_t help_columns_max = 100;
constexpr std::size_t quoted_columns_max = 40;  // of a value in an error message

std::string first_name(const std::string& names) {
  // The long name is what messages use: "-n,--max-tokens" → "--max-tokens".
  const std::size_t dashes = names.find("--");
  return dashes == std::string::npos ? names : names.substr(dashes);
}

}  // namespace

struct CommandLine::Impl {
  struct HelpGroup {
    std::string title;
    std::vector<std::pair<std::string, std::string>> rows;
  };

  std::string name;
  std::string usage;
  std::string summary;
  std::string notes;
  std::string hint;
  CLI::App app;
  std::vector<HelpGroup> groups;
  struct Given {
    std::string name;  // of the option, as it was typed
    std::string value;
  };
  std::map<std::string, std::string> value_options;  // every spelling of an option with a value → its name
  std::set<std::string> once;                        // the names of those that may be given only once
  std::set<std::string> names;                       // every long spelling
  std::vector<Given> values;                         // in the order of the command line
  std::optional<Error> error;                        // the first that was found
  bool help = false;

  void remember(const std::string& spellings, bool takes_value) {
    for (const std::string& spelling : CLI::detail::split(spellings, ',')) {
      if (takes_value) value_options.emplace(spelling, first_name(spellings));
      if (spelling.rfind("--", 0) == 0) names.insert(spelling);
    }
  }

  void row(std::string term, const std::string& text) {
    if (groups.empty()) groups.push_back({"Options", {}});
    const std::size_t comma = term.find(',');
    if (comma != std::string::npos) term.replace(comma, 1, ", ");
    groups.back().rows.emplace_back(std::move(term), text);
  }

  std::string help_text(std::size_t columns) const {
    std::string out = "Usage: troupe " + name + " " + usage + "\n\n";
    const auto paragraph = [&](const std::string& text) {
      for (const std::string& line : wrapped(text, columns)) out += line + "\n";
    };
    paragraph(summary);
    for (const HelpGroup& group : groups) {
      if (group.rows.empty()) continue;
      out += "\n" + group.title + ":\n" + definition_list(group.rows, columns);
    }
    if (!notes.empty()) {
      out += "\n";
      paragraph(notes);
    }
    return out;
  }

  // CLI11 gives some texts a meaning of their own ("{}", "%%" and "[a]" in values, "--name=" without a
  // value), which differs between its versions. So it gets to see only the number under which a value is kept
  // here.
  Arguments with_numbered_values(const Arguments& arguments) {
    Arguments out;
    bool options_over = false;
    bool is_value = false;
    std::string option;                       // whose value comes next
    std::map<std::string, std::string> seen;  // values by the names of their options
    const auto keep = [&](std::string value) {
      if (const auto known = value_options.find(option); known != value_options.end()) {
        const auto [before, first] = seen.emplace(known->second, value);
        if (!first && once.count(known->second) != 0 && !error) {
          error = Error{Errc::bad_argument, option + " was given twice, as '" +
                                                shortened(before->second, quoted_columns_max) + "' and as '" +
                                                shortened(value, quoted_columns_max) + "'"};
        }
      }
      values.push_back({option, std::move(value)});
      out.push_back(std::to_string(values.size() - 1));
    };
    for (const std::string& argument : arguments) {
      if (is_value) {
        keep(argument);
        is_value = false;
        continue;
      }
      options_over = options_over || argument == "--";
      const std::size_t equals = argument.find('=');
      const std::string name_part = argument.substr(0, equals);
      if (!options_over && equals != std::string::npos && names.count(name_part) != 0) {  // --name=value
        if (value_options.count(name_part) == 0)
          error = Error{Errc::bad_argument, name_part + " takes no value"};
        out.push_back(name_part);
        option = name_part;
        keep(argument.substr(equals + 1));
      } else if (!options_over && argument.size() > 2 &&
                 value_options.count(argument.substr(0, 2)) != 0) {  // -n5, -n=5
        option = argument.substr(0, 2);
        out.push_back(option);
        keep(argument.substr(argument[2] == '=' ? 3 : 2));
      } else {
        out.push_back(argument);
        option = argument;
        is_value = !options_over && value_options.count(argument) != 0;
      }
    }
    if (is_value && !error) error = Error{Errc::bad_argument, option + " needs a value"};
    return out;
  }

  std::string unknown_text(const std::vector<std::string>& remaining) const {
    const auto options_end = std::find(remaining.begin(), remaining.end(), "--");
    const auto dashed = std::find_if(remaining.begin(), options_end, [](const std::string& word) {
      return word.size() > 1 && word[0] == '-';
    });
    if (dashed == options_end) {
      const bool skip = remaining.front() == "--" && remaining.size() > 1;
      return "unexpected argument '" + remaining[skip ? 1 : 0] + "'" + hint;
    }
    const std::string option = dashed->substr(0, dashed->find('='));
    const std::string message = "unknown option '" + option + "'";
    const std::vector<std::string> known(names.begin(), names.end());
    const std::string_view near = option.size() < 5 ? std::string_view() : near_name(option, known);
    return near.empty() ? message : message + "; did you mean " + std::string(near) + "?";
  }
};

CommandLine::CommandLine(std::string name, std::string usage, std::string summary, std::string notes)
    : impl_(std::make_unique<Impl>()) {
  impl_->name = std::move(name);
  impl_->usage = std::move(usage);
  impl_->summary = std::move(summary);
  impl_->notes = std::move(notes);
  impl_->app.set_help_flag();  // ours instead: laid out for the terminal's width
}

CommandLine::~CommandLine() = default;

void CommandLine::hint(std::string text) {
  impl_->hint = ": " + std::move(text);
}

void CommandLine::group(std::string title) {
  impl_->groups.push_back({std::move(title), {}});
}

void CommandLine::option(const std::string& names, const std::string& value_name, const std::string& help,
                         Take take, Times times) {
  const auto on_values = [impl = impl_.get(), take = std::move(take)](const CLI::results_t& numbers) {
    for (const std::string& number : numbers) {
      if (impl->error) return true;
      const Impl::Given& given = impl->values.at(std::stoul(number));
      if (Status status = take(given.name, given.value); !status) impl->error = std::move(status).error();
    }
    return true;
  };
  CLI::Option* option = impl_->app.add_option(names, CLI::callback_t(on_values), help);
  option->type_size(1)->expected(1)->allow_extra_args(false)->multi_option_policy(
      CLI::MultiOptionPolicy::TakeAll);
  impl_->remember(names, true);
  if (times == Times::once) impl_->once.insert(first_name(names));
  impl_->row(names + " " + value_name, help);
}

void CommandLine::text(const std::string& names, const std::string& value_name, const std::string& help,
                       std::string& target) {
  option(names, value_name, help, [&target](std::string_view what, const std::string& value) -> Status {
    if (value.empty()) return Error{Errc::bad_argument, std::string(what) + " must not be empty"};
    target = value;
    return {};
  });
}

void CommandLine::whole(const std::string& names, const std::string& help, std::uint32_t low,
                        std::uint32_t high, std::uint32_t& target) {
  option(names, "N", help, [&target, low, high](std::string_view what, const std::string& value) -> Status {
    TROUPE_TRY(const std::uint64_t number, parse_whole(what, value, low, high));
    target = static_cast<std::uint32_t>(number);
    return {};
  });
}

void CommandLine::flag(const std::string& names, const std::string& help, std::function<void()> take) {
  impl_->app.add_flag_callback(names, std::move(take), help);
  impl_->remember(names, false);
  impl_->row(names, help);
}

void CommandLine::flag(const std::string& names, const std::string& help, bool& target) {
  flag(names, help, [&target] { target = true; });
}

void CommandLine::positional(const std::string& name, const std::string& help,
                             std::optional<std::string>& target) {
  const auto on_values = [&target](const CLI::results_t& values) {
    target = values.front();
    return true;
  };
  impl_->app.add_option(name, CLI::callback_t(on_values), help)
      ->type_size(1)
      ->expected(1)
      ->allow_extra_args(false);
  impl_->row(name, help);
}

std::optional<int> CommandLine::parse(const Arguments& arguments) {
  flag("-h,--help", "show this and exit", impl_->help);
  Arguments reversed = impl_->with_numbered_values(arguments);
  if (impl_->error) return usage_error(impl_->error->message);
  std::reverse(reversed.begin(), reversed.end());  // the order that CLI11 wants
  try {
    impl_->app.parse(std::move(reversed));
  } catch (const CLI::ExtrasError&) {
    return usage_error(impl_->unknown_text(impl_->app.remaining()));
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string text = error.what();  // "--name: 1 required missing"
    return usage_error(text.substr(0, text.find(':')) + " needs a value");
  } catch (const CLI::ParseError& error) {
    return usage_error(error.what());
  }
  if (impl_->help) {
    Output output;
    const std::size_t columns = output.on_terminal() ? terminal_columns(STDOUT_FILENO) : help_columns_max;
    output.raw(impl_->help_text(std::min(columns, help_columns_max)));
    if (const std::string failure = output.failure(); !failure.empty()) {
      complain(failure);
      return exit_failed;
    }
    return exit_ok;
  }
  if (impl_->error) return usage_error(impl_->error->message);
  return std::nullopt;
}

int CommandLine::usage_error(const std::string& message) const {
  complain(impl_->name + ": " + message + "; see 'troupe " + impl_->name + " --help'");
  return exit_usage;
}

void ModelFlags::declare(CommandLine& command_line) {
  command_line.positional(
      "MODEL", "the model file: .gguf, .smnd, or llama2.c .bin; default: the bundled model", model);
  command_line.text(
      "--tokenizer", "FILE",
      "the vocabulary of a model file without one: llama2.c's tokenizer.bin (looked for beside the "
      "model unless given), or for .smnd a text that holds its alphabet",
      tokenizer);
}

void ModelFlags::declare_chat_template(CommandLine& command_line) {
  command_line.text("--chat-template", "FILE",
                    "use the Jinja text of this file in place of the model's chat template", chat_template);
}

Status ModelFlags::check() const {
  if (model && model->empty())
    return Error{Errc::bad_argument, "MODEL is empty: name a model file, or leave it out"};
  return {};
}

Result<std::filesystem::path> ModelFlags::path() const {
  TROUPE_TRY_STATUS(check());
  if (!model) return bundled_model();
  return std::filesystem::path(*model);
}

bool has_model_extension(const std::filesystem::path& path) {
  const auto extension = path.extension();
  return extension == ".gguf" || extension == ".bin" || extension == ".smnd";
}

void AnswerFlags::declare(CommandLine& command_line, const std::string& seed_help) {
  command_line.group("Answer");
  for (const GenerationSetting& setting : generation_settings()) {
    std::string names = setting.short_flag.empty() ? "" : std::string(setting.short_flag) + ",";
    names += "--" + std::string(setting.name);
    std::string help(setting.help);
    if (setting.name == "seed") {
      help += "; " + seed_help;
    } else if (!setting.repeats && !setting.value_name.empty()) {
      help += "; default " + setting.show(options);
    }
    if (setting.value_name.empty()) {
      command_line.flag(names, help, [this, &setting] {
        [[maybe_unused]] const Status always_on = setting.set(options, setting.name, "on");
      });
      continue;
    }
    command_line.option(
        names, std::string(setting.value_name), help,
        [this, &setting](std::string_view what, const std::string& value) {
          seed_given = seed_given || setting.name == "seed";
          return setting.set(options, what, value);
        },
        setting.repeats ? CommandLine::Times::many : CommandLine::Times::once);
  }
}

}  // namespace troupe::tools
