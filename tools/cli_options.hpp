#pragma once
// Command lines: one small class over CLI11, which stays out of every other file, and the groups of options
// that subcommands share.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/subcommand.hpp"
#include "troupe/error.hpp"
#include "troupe/generation.hpp"

namespace troupe::tools {

/// The command line of one subcommand. Declare options, then parse() once. Giving an option a value twice is
/// an error, except where each value is added. Usage errors are one line on standard error that names the
/// option as it was typed. Targets must outlive parse().
class CommandLine {
 public:
  /// `name` as in "troupe NAME", `usage` what follows it; `summary` and `notes` frame the options in --help.
  CommandLine(std::string name, std::string usage, std::string summary, std::string notes = {});
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// Receives the text behind an option, once per occurrence; `what` is the option as an error should name
  /// it.
  using Take = std::function<Status(std::string_view what, const std::string& value)>;

  /// What to add when there is an argument too many, e.g. where it should have gone.
  void hint(std::string text);

  /// Options declared after this are listed under `title` in --help.
  void group(std::string title);

  /// Whether an option may be given more than once.
  enum class Times : std::uint8_t { once, many };

  /// `names` as "-n,--max-tokens".
  void option(const std::string& names, const std::string& value_name, const std::string& help, Take take,
              Times times = Times::once);
  /// A text that must not be empty.
  void text(const std::string& names, const std::string& value_name, const std::string& help,
            std::string& target);
  void whole(const std::string& names, const std::string& help, std::uint32_t low, std::uint32_t high,
             std::uint32_t& target);
  void flag(const std::string& names, const std::string& help, std::function<void()> take);
  void flag(const std::string& names, const std::string& help, bool& target);
  /// An argument without a dash, in the order of declaration.
  void positional(const std::string& name, const std::string& help, std::optional<std::string>& target);

  /// The exit status when there is nothing more to do (--help was printed, or a usage error).
  std::optional<int> parse(const Arguments& arguments);

  /// Says on standard error what is wrong with the command line; returns exit_usage.
  int usage_error(const std::string& message) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// MODEL and --tokenizer.
struct ModelFlags {
  std::optional<std::string> model;
  std::string tokenizer;
  std::string chat_template;  ///< a file; only where it is declared

  void declare(CommandLine& command_line);
  void declare_chat_template(CommandLine& command_line);

  /// Errors: bad_argument, for the command line, where MODEL is empty.
  Status check() const;

  /// The model file that is meant: the bundled one unless another was named. Errors: as check(), and see
  /// bundled_model().
  Result<std::filesystem::path> path() const;
};

/// Whether a file of that name holds a model, as far as names tell.
bool has_model_extension(const std::filesystem::path& path);

/// The options of an answer; see generation_settings.hpp. `seed_help` says what the subcommand adds.
struct AnswerFlags {
  GenerationOptions options;
  bool seed_given = false;

  void declare(CommandLine& command_line, const std::string& seed_help);
};

}  // namespace troupe::tools
