// troupe inspect: what a model file holds, without loading it.

#include "formats/describe.hpp"
#include "formats/open.hpp"
#include "tools/cli_options.hpp"
#include "tools/open_model.hpp"
#include "tools/terminal.hpp"

namespace troupe::tools {

int run_inspect(const Arguments& arguments) {
  CommandLine command_line(
      "inspect", "[MODEL] [OPTIONS]",
      "Prints the metadata of a model file, and its tensors if asked. Weights are not loaded.");
  ModelFlags model;
  bool tensors = false;
  bool json = false;
  model.declare(command_line);
  command_line.flag("--tensors", "list the tensors: name, type, shape, bytes", tensors);
  command_line.flag("--json", "print one JSON object", json);
  if (const auto status = command_line.parse(arguments)) return *status;
  const auto path = model.path();
  if (!path) return command_line.usage_error(path.error().message);
  const auto checkpoint = open_checkpoint(*path, {model.tokenizer, true});
  if (!checkpoint) return report(checkpoint.error());
  std::string text = json ? describe_json(*checkpoint, tensors) : describe(*checkpoint, tensors);
  if (text.empty() || text.back() != '\n') text += '\n';
  Output output;
  output.text(text);
  output.end_text();
  return finish_output(output, exit_ok);
}

}  // namespace troupe::tools
