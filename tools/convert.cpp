// troupe convert: a model file in another format, or with its weights in another type.

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/try.hpp"
#include "formats/gguf_writer.hpp"
#include "formats/open.hpp"
#include "formats/smnd.hpp"
#include "model/requantize.hpp"
#include "tools/cli_options.hpp"
#include "tools/open_model.hpp"
#include "tools/progress_bar.hpp"
#include "tools/same_file.hpp"
#include "tools/signals.hpp"
#include "tools/terminal.hpp"
#include "tools/text_layout.hpp"

namespace troupe::tools {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view summary =
    "Writes the model in IN as OUT: GGUF if that ends in .gguf, SmallMind's format if it ends in .smnd. IN "
    "may "
    "be GGUF, .smnd or a llama2.c checkpoint; its vocabulary goes along.";
constexpr std::string_view notes =
    "Without --type weights keep their type. With it, matrices get the type, whatever type they had; norms, "
    "biases and learned positions become F32; norms of several rows, the choice of experts and short "
    "convolutions stay as they are. Rows that are no multiple of 256 get q5_0, q5_1 or q8_0 in the "
    "place of q4_k, q5_k or q6_k, as in llama.cpp; rows that are no multiple of 32 stay as they are unless "
    "the type is f32, f16 or bf16; both is said. An .smnd file holds F32 only, and only GPT-2-style models "
    "(architecture gpt2).\n"
    "OUT appears whole or not at all, and replaces an older file of that name; it can be neither IN nor one "
    "of its shards.";

struct TypeName {
  std::string_view name;
  TensorType type;
};
constexpr TypeName type_names[] = {
    {"f32", TensorType::f32},   {"f16", TensorType::f16},   {"bf16", TensorType::bf16},
    {"q8_0", TensorType::q8_0}, {"q6_k", TensorType::q6_k}, {"q5_k", TensorType::q5_k},
    {"q5_1", TensorType::q5_1}, {"q5_0", TensorType::q5_0}, {"q4_k", TensorType::q4_k},
    {"q4_1", TensorType::q4_1}, {"q4_0", TensorType::q4_0}};

/// "f32, f16, … or q4_0".
std::string type_choices() {
  std::string text;
  for (const TypeName& known : type_names) {
    const bool last = &known == std::end(type_names) - 1;
    if (!text.empty()) text += last ? " or " : ", ";
    text += known.name;
  }
  return text;
}

struct ConvertFlags {
  std::optional<std::string> in;
  std::optional<std::string> out;
  std::optional<TensorType> type;
  std::string tokenizer;
  std::uint32_t threads = 0;

  bool to_smnd() const { return fs::path(*out).extension() == ".smnd"; }
};

Status take_type(std::string_view what, const std::string& value, std::optional<TensorType>& type) {
  for (const TypeName& known : type_names) {
    const bool same =
        std::equal(value.begin(), value.end(), known.name.begin(), known.name.end(),
                   [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
    if (!same) continue;
    type = known.type;
    return {};
  }
  return Error{Errc::bad_argument, std::string(what) + " is '" + value + "'; expected " + type_choices()};
}

void declare(CommandLine& command_line, ConvertFlags& flags) {
  command_line.positional("IN", "the model file to read", flags.in);
  command_line.positional("OUT", "the file to write: .gguf or .smnd", flags.out);
  command_line.option("--type", "TYPE", type_choices() + ": the type of the matrices; default: as they are",
                      [&flags](std::string_view what, const std::string& value) {
                        return take_type(what, value, flags.type);
                      });
  command_line.text(
      "--tokenizer", "FILE",
      "the vocabulary of IN, if it has none: llama2.c's tokenizer.bin, or for .smnd a text that "
      "holds the alphabet",
      flags.tokenizer);
  command_line.whole("--threads", "threads that convert; 0: what the process may use", 0, 1024,
                     flags.threads);
}

/// Errors: bad_argument where OUT is `input`.
Status check_apart(const fs::path& input, const std::string& out) {
  if (!same_file(input, out)) return {};
  return Error{Errc::bad_argument, "OUT '" + out + "' is the same file as '" + input.native() +
                                       "', which must not be overwritten"};
}

/// What is wrong with the command line, if anything.
Status check(const ConvertFlags& flags) {
  if (!flags.in || !flags.out) return Error{Errc::bad_argument, "IN and OUT are needed"};
  const std::string extension = fs::path(*flags.out).extension();
  if (extension != ".gguf" && extension != ".smnd") {
    return Error{Errc::bad_argument, "OUT is '" + *flags.out + "'; it must end in .gguf or .smnd"};
  }
  if (flags.to_smnd() && flags.type && *flags.type != TensorType::f32) {
    return Error{Errc::bad_argument, "an .smnd file holds f32 only: leave out --type"};
  }
  TROUPE_TRY_STATUS(check_apart(*flags.in, *flags.out));
  return check_apart(flags.tokenizer, *flags.out);
}

bool all_f32(const Checkpoint& checkpoint) {
  for (const TensorView& tensor : checkpoint.tensors) {
    if (tensor.type != TensorType::f32) return false;
  }
  return true;
}

std::string types_text(const Checkpoint& checkpoint) {
  std::map<TensorType, std::size_t> counts;
  for (const TensorView& tensor : checkpoint.tensors) ++counts[tensor.type];
  std::string text;
  for (const auto& [type, count] : counts) {
    text += (text.empty() ? "tensors: " : ", ") + std::to_string(count) + " " +
            std::string(tensor_type_info(type).name);
  }
  return text.empty() ? "no tensors" : text;
}

Status convert(const ConvertFlags& flags) {
  TROUPE_TRY(Checkpoint checkpoint, open_checkpoint(*flags.in, {flags.tokenizer}));
  for (const fs::path& file : checkpoint.files) TROUPE_TRY_STATUS(check_apart(file, *flags.out));
  std::optional<TensorType> type = flags.type;
  if (flags.to_smnd() && !type && !all_f32(checkpoint)) {
    complain("the weights are decoded to F32, which is all that .smnd holds");
    type = TensorType::f32;
  }
  if (type) {
    std::vector<std::string> kept;
    ProgressBar bar("converting " + fs::path(*flags.in).filename().string());
    TROUPE_TRY(checkpoint, requantize(checkpoint, *type, flags.threads, kept, [&](double share) {
                 bar.show(share);
                 return !stop_requested();
               }));
    bar.wipe();
    for (const std::string& note : kept) complain(note);
  }
  TROUPE_TRY_STATUS(flags.to_smnd()
                        ? write_smnd(*flags.out, checkpoint, stop_requested)
                        : write_gguf(*flags.out, checkpoint.metadata, checkpoint.tensors, stop_requested));
  std::error_code ignored;
  const auto bytes = fs::file_size(*flags.out, ignored);
  say(*flags.out + ": " + std::to_string(bytes) + " bytes, " + types_text(checkpoint) + "\n");
  const auto model = checkpoint.metadata.get_string("tokenizer.ggml.model");
  if (model && *model == "none") {
    complain(*flags.in + " holds no vocabulary, so neither does " + *flags.out +
             ": with --tokenizer FILE, a text that holds its alphabet, it would");
  }
  return {};
}

}  // namespace

int run_convert(const Arguments& arguments) {
  CommandLine command_line("convert", "IN OUT [OPTIONS]", std::string(summary), std::string(notes));
  ConvertFlags flags;
  declare(command_line, flags);
  if (const auto status = command_line.parse(arguments)) return *status;
  if (const Status status = check(flags); !status) return command_line.usage_error(status.error().message);
  install_signal_handlers(InterruptUse::once);
  if (const Status status = convert(flags); !status) return report(status.error());
  return exit_ok;
}

}  // namespace troupe::tools
