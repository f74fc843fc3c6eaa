#include "tools/cli_options.hpp"

#include <limits>

#include "tests/support/catch.hpp"

using namespace troupe;
using namespace troupe::tools;

namespace {

// Some of every kind of option, as the subcommands declare them.
struct Parsed {
  CommandLine command_line{"test", "MODEL [TEXT]", "A test."};
  ModelFlags model;
  AnswerFlags answer;
  EngineFlags engine;
  std::optional<std::string> text;
  std::vector<std::string> prompts;
  bool json = false;
  std::optional<int> status;

  explicit Parsed(const Arguments& arguments) {
    model.declare(command_line);
    command_line.positional("TEXT", "a text", text);
    command_line.option("-p,--prompt", "TEXT", "a prompt",
                        [this](std::string_view, const std::string& value) {
                          prompts.push_back(value);
                          return Status();
                        });
    command_line.flag("--json", "JSON", json);
    answer.declare(command_line, "default 0");
    engine.declare(command_line);
    status = command_line.parse(arguments);
  }
};

}  // namespace

TEST_CASE("values of options are taken as they are, whatever they look like", "[tools]") {
  const Arguments odd = {"[a]", "{}", "",   "-n",         "--json", "--",  "a=b", "\"quoted\"", "'single'",
                         "%%",  "[",  "-1", "--prompt=x", "chat",   "a,b", "\\n", "`x`"};
  for (const std::string& value : odd) {
    INFO(value);
    const Parsed apart({"model", "-p", value, "--json"});
    CHECK_FALSE(apart.status);
    CHECK(apart.prompts == std::vector<std::string>{value});
    CHECK(apart.json);
    const Parsed joined({"model", "--prompt=" + value, "--json"});
    CHECK_FALSE(joined.status);
    CHECK(joined.prompts == std::vector<std::string>{value});
    CHECK(joined.json);
  }
}

TEST_CASE("positional arguments are taken as they are", "[tools]") {
  for (const std::string value : {"[a]", "{}", "", "a=b", "generate", "++"}) {
    INFO(value);
    const Parsed parsed({"model", value, "--json"});
    CHECK_FALSE(parsed.status);
    CHECK(parsed.text == value);
  }
  const Parsed dashed({"model", "--json", "--", "--not-an-option"});
  CHECK_FALSE(dashed.status);
  CHECK(dashed.text == "--not-an-option");
  CHECK(Parsed({"model", "text", "one too many"}).status == exit_usage);
}

TEST_CASE("prompts keep their order, other options their last value", "[tools]") {
  const Parsed parsed({"-p", "a", "--top-k", "1", "model", "-p", "b", "--top-k=2", "-n", "3", "-n4"});
  CHECK_FALSE(parsed.status);
  CHECK(parsed.model.model == "model");
  CHECK(parsed.prompts == std::vector<std::string>{"a", "b"});
  CHECK(parsed.answer.options.sampling.top_k == 2);
  CHECK(parsed.answer.options.max_tokens == 4);
}

TEST_CASE("a command line that makes no sense has exit status 2", "[tools]") {
  CHECK(Parsed({"model", "--frobnicate"}).status == exit_usage);
  CHECK(Parsed({"model", "-p"}).status == exit_usage);
  CHECK(Parsed({"model", "--top-k"}).status == exit_usage);
  CHECK(Parsed({"model", "--top-k", "many"}).status == exit_usage);
  CHECK(Parsed({"model", "--top-k="}).status == exit_usage);
  CHECK(Parsed({"model", "--temperature", "-1"}).status == exit_usage);
  CHECK(Parsed({"model", "--threads", "0"}).status == exit_usage);
  CHECK(Parsed({"model", "--kv-type", "q8"}).status == exit_usage);
  CHECK(Parsed({"model", "--json=maybe"}).status == exit_usage);
  CHECK(Parsed({"model", "-x"}).status == exit_usage);
}

TEST_CASE("options of the engine reach their fields", "[tools]") {
  const Parsed parsed(
      {"model", "--threads", "2", "--context", "100", "--kv-type", "f16", "--tokenizer", "t.bin"});
  CHECK_FALSE(parsed.status);
  CHECK(parsed.engine.options.threads == 2);
  CHECK(parsed.engine.options.context_tokens == 100);
  CHECK(parsed.engine.options.kv_precision == KvPrecision::f16);
  CHECK(parsed.model.tokenizer == "t.bin");
}

TEST_CASE("only a MODEL that is left out means the bundled one", "[tools]") {
  CHECK(Parsed({"m.gguf"}).model.path()->string() == "m.gguf");
  CHECK(
      Parsed({""}).model.path()->string().empty());  // an unset variable in a script is a mistake to be told
  const Parsed none({"--json"});
  CHECK_FALSE(none.status);
  CHECK_FALSE(none.model.model);
}

TEST_CASE("the seed is known to be given or not", "[tools]") {
  CHECK_FALSE(Parsed({"model"}).answer.seed_given);
  const Parsed parsed({"model", "--seed", "18446744073709551615"});
  CHECK(parsed.answer.seed_given);
  CHECK(parsed.answer.options.sampling.seed == std::numeric_limits<std::uint64_t>::max());
}
