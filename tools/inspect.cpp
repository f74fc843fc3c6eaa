// troupe inspect: what a model file holds, without loading it.

#include <optional>
#include <string>
#include <vector>

#include "base/utf8.hpp"
#include "formats/describe.hpp"
#include "formats/open.hpp"
#include "model/facts.hpp"
#include "tokenizer/load.hpp"
#include "tools/cli_options.hpp"
#include "tools/json_text.hpp"
#include "tools/open_model.hpp"
#include "tools/terminal.hpp"

namespace troupe::tools {
namespace {

/// "BOS 1 '<s>' (put in front), EOS 2 '</s>'"
std::string special_tokens(const Tokenizer& tokenizer) {
  std::string text;
  const auto add = [&](const char* name, std::optional<Token> token, const char* use) {
    if (!token) return;
    text += (text.empty() ? "" : ", ") + std::string(name) + " " + std::to_string(*token) + " " +
            in_quotes(tokenizer.spelling(*token)) + use;
  };
  add("BOS", tokenizer.bos(), tokenizer.adds_bos() ? " (put in front)" : "");
  add("EOS", tokenizer.eos(), tokenizer.adds_eos() ? " (put behind)" : "");
  std::size_t control = 0;
  for (std::size_t i = 0; i < tokenizer.vocab_size(); ++i)
    control += tokenizer.is_control(static_cast<Token>(i)) ? 1 : 0;
  return text + (text.empty() ? "" : "; ") + std::to_string(control) + " control tokens";
}

std::string memory_text(const ModelFacts& facts) {
  return size_text(facts.weight_bytes) + " of weights, and " + size_text(facts.kv_bytes_per_1024_tokens) +
         " per 1024 tokens of context (KV cache in " + (facts.all_f32 ? "f32" : "f16") + "; in q8_0 " +
         size_text(facts.kv_bytes_per_1024_tokens_q8_0) + ")";
}

/// What loading would find out: for people, or as the members of a JSON object.
struct Findings {
  std::vector<Fact> facts;
  std::string members;
};

std::string token_member(const char* name, std::optional<Token> token) {
  return std::string(",\"") + name + "\":" + (token ? std::to_string(*token) : "null");
}

Findings findings(const Checkpoint& checkpoint) {
  Findings out;
  const auto tokenizer = load_tokenizer(checkpoint);
  const auto facts = model_facts(checkpoint);
  if (tokenizer) out.facts.push_back({"special tokens", special_tokens(**tokenizer)});
  if (facts) {
    out.facts.push_back({"shape", shape_text(facts->config)});
    out.facts.push_back({"positions", positions_text(checkpoint, facts->config)});
    out.facts.push_back({"memory", memory_text(*facts)});
  }
  const Error* why = !facts ? &facts.error() : !tokenizer ? &tokenizer.error() : nullptr;
  out.facts.push_back({"runs here", why == nullptr ? "yes" : "no: " + printable(why->message, 2000)});

  out.members = std::string("\"runs\":") + (why == nullptr ? "true" : "false");
  if (why != nullptr) out.members += ",\"error\":" + json_quoted(why->message);
  if (tokenizer) {
    out.members += token_member("bos_token", (*tokenizer)->bos());
    out.members += token_member("eos_token", (*tokenizer)->eos());
  }
  if (facts) {
    const ModelConfig& config = facts->config;
    const auto number = [&](const char* name, std::uint64_t value) {
      out.members += std::string(",\"") + name + "\":" + std::to_string(value);
    };
    number("layers", config.layers);
    number("width", config.width);
    number("heads", config.heads);
    number("kv_heads", config.kv_heads);
    number("head_dim", config.head_dim);
    number("feed_forward", config.ffn_width);
    number("sliding_window", config.window);
    out.members += ",\"positions\":" + json_quoted(positions_text(checkpoint, config));
    number("weight_bytes", facts->weight_bytes);
    number("kv_bytes_per_1024_tokens", facts->kv_bytes_per_1024_tokens);
    number("kv_bytes_per_1024_tokens_q8_0", facts->kv_bytes_per_1024_tokens_q8_0);
  }
  return out;
}

}  // namespace

int run_inspect(const Arguments& arguments) {
  CommandLine command_line(
      "inspect", "[MODEL] [OPTIONS]",
      "Prints what a model file holds: its shape, weights by type, tokenizer, the memory that it takes, "
      "whether it "
      "runs here, and its metadata. Weights are not loaded. Of a model in several files name any.");
  ModelFlags model;
  bool tensors = false;
  bool json = false;
  model.declare(command_line);
  command_line.flag("--tensors", "list the tensors: name, type, shape, bytes", tensors);
  command_line.flag("--json", "print one JSON object", json);
  if (const auto status = command_line.parse(arguments)) return *status;
  if (const Status status = model.check(); !status) return command_line.usage_error(status.error().message);
  const auto path = model.path();
  if (!path) return report(path.error());
  const auto checkpoint = open_checkpoint(*path, {model.tokenizer, true});
  if (!checkpoint) return report(checkpoint.error());
  const Findings found = findings(*checkpoint);
  std::string text =
      json ? describe_json(*checkpoint, tensors, found.members) : describe(*checkpoint, tensors, found.facts);
  if (text.empty() || text.back() != '\n') text += '\n';
  Output output;
  output.text(text);
  output.end_text();
  return finish_output(output, exit_ok);
}

}  // namespace troupe::tools
