#include "tools/cli_options.hpp"

#include <limits>

#include "tests/support/catch.hpp"
#include "tools/engine_flags.hpp"

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
    command_line.option(
        "-p,--prompt", "TEXT", "a prompt",
        [this](std::string_view, const std::string& value) {
          prompts.push_back(value);
          return Status();
        },
        CommandLine::Times::many);
    command_line.flag("--json", "JSON", json);
    answer.declare(command_line, "default 0");
    engine.declare(command_line);
    engine.declare_kv_memory(command_line);
    engine.declare_replicas(command_line);
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

TEST_CASE("prompts keep their order among other options", "[tools]") {
  const Parsed parsed({"-p", "a", "--top-k", "2", "model", "-p", "b", "-n", "4"});
  CHECK_FALSE(parsed.status);
  CHECK(parsed.model.model == "model");
  CHECK(parsed.prompts == std::vector<std::string>{"a", "b"});
  CHECK(parsed.answer.options.sampling.top_k == 2);
  CHECK(parsed.answer.options.max_tokens == 4);
}

TEST_CASE("a value may stand behind a short option with or without an equals sign", "[tools]") {
  for (const std::string& argument : Arguments{"-n3", "-n=3", "--max-tokens=3"}) {
    INFO(argument);
    const Parsed parsed({"model", argument, "-p=x", "-p", "=y"});
    CHECK_FALSE(parsed.status);
    CHECK(parsed.answer.options.max_tokens == 3);
    CHECK(parsed.prompts == std::vector<std::string>{"x", "=y"});
  }
}

TEST_CASE("an option that takes one value is refused a second", "[tools]") {
  CHECK(Parsed({"model", "--top-k", "1", "--top-k=2"}).status == exit_usage);
  CHECK(Parsed({"model", "-n", "3", "--max-tokens", "3"}).status == exit_usage);
  CHECK(Parsed({"model", "--tokenizer", "a", "--tokenizer", "b"}).status == exit_usage);
  CHECK_FALSE(Parsed({"model", "--stop", "a", "--stop", "a", "--json", "--json"}).status);
  CHECK_FALSE(Parsed({"model", "--stop", "--top-k", "--top-k", "2"}).status);
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
  CHECK(Parsed({"model", "--replicas", "0"}).status == exit_usage);
  CHECK(Parsed({"model", "--routing", "random"}).status == exit_usage);
  CHECK(Parsed({"model", "--pool-shape", "round"}).status == exit_usage);
  CHECK(Parsed({"model", "--json=maybe"}).status == exit_usage);
  CHECK(Parsed({"model", "-x"}).status == exit_usage);
  CHECK(Parsed({"model", "--tokenizer", ""}).status == exit_usage);
}

TEST_CASE("options of the engine reach their fields", "[tools]") {
  const Parsed parsed({"model", "--threads", "2", "--context", "100", "--kv-type", "f16", "--kv-bytes", "3M",
                       "--tokenizer", "t.bin"});
  CHECK_FALSE(parsed.status);
  CHECK(parsed.engine.options.threads == 2);
  CHECK(parsed.engine.options.context_tokens == 100);
  CHECK(parsed.engine.options.kv_precision == KvPrecision::f16);
  CHECK(parsed.engine.options.kv_bytes_max == 3U << 20);
  CHECK(parsed.engine.options.kv_overcommit);
  CHECK_FALSE(Parsed({"model", "--no-kv-overcommit"}).engine.options.kv_overcommit);
  CHECK(Parsed({"model", "--kv-bytes", "1234"}).engine.options.kv_bytes_max == 1234);
  for (const char* wrong : {"0", "", "K", "1T", "-1", "1.5M", "17179869184G"})
    CHECK(Parsed({"model", "--kv-bytes", wrong}).status == exit_usage);
  CHECK(parsed.model.tokenizer == "t.bin");
  CHECK(Parsed({"model", "--kv-type", "q8_0"}).engine.options.kv_precision == KvPrecision::q8_0);
}

TEST_CASE("replicas, routing and pool shape reach their fields, and are told where they are not as usual",
          "[tools]") {
  const Parsed usual({"model", "--threads", "4"});
  CHECK(engine_text(usual.engine.options) == "8 generators, 4 threads");
  const Parsed parsed({"model", "--threads", "4", "--replicas", "3", "--routing", "prefix-affinity",
                       "--pool-shape", "per-request"});
  CHECK_FALSE(parsed.status);
  CHECK(parsed.engine.options.replicas == 3);
  CHECK(parsed.engine.options.routing == Routing::prefix_affinity);
  CHECK(parsed.engine.options.pool_shape == PoolShape::per_request);
  CHECK(engine_text(parsed.engine.options) ==
        "8 generators (per-request), 4 threads, 3 replicas (prefix-affinity)");
}

TEST_CASE("a missing model is said to be missing", "[tools]") {
  const Parsed parsed({"--json"});
  CHECK_FALSE(parsed.status);
  const auto path = parsed.model.path();
  REQUIRE_FALSE(path);
  CHECK(path.error().message.find("name a MODEL file") != std::string::npos);  // no bundled model lies here
}

TEST_CASE("an empty MODEL does not stand for the bundled one", "[tools]") {
  const Parsed parsed({""});
  CHECK_FALSE(parsed.status);
  CHECK_FALSE(parsed.model.path());
}

TEST_CASE("the seed is known to be given or not", "[tools]") {
  CHECK_FALSE(Parsed({"model"}).answer.seed_given);
  const Parsed parsed({"model", "--seed", "18446744073709551615"});
  CHECK(parsed.answer.seed_given);
  CHECK(parsed.answer.options.sampling.seed == std::numeric_limits<std::uint64_t>::max());
}
