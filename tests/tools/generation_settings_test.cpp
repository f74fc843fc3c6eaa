#include "tools/generation_settings.hpp"

#include <cmath>

#include "tests/support/catch.hpp"

using namespace troupe;
using namespace troupe::tools;

namespace {

Status set(GenerationOptions& options, std::string_view name, std::string_view value) {
  const GenerationSetting* setting = find_generation_setting(name);
  REQUIRE(setting != nullptr);
  return setting->set(options, name, value);
}

}  // namespace

TEST_CASE("every setting has its own name, and what it shows can be set again", "[tools]") {
  for (const GenerationSetting& setting : generation_settings()) {
    INFO(setting.name);
    CHECK(find_generation_setting(setting.name) == &setting);
    GenerationOptions options;
    if (!setting.repeats) CHECK(setting.set(options, setting.name, setting.show(options)));
  }
}

TEST_CASE("a setting is found with underscores too, but not by its beginning", "[tools]") {
  CHECK(find_generation_setting("top_k") == find_generation_setting("top-k"));
  CHECK(find_generation_setting("top") == nullptr);
  CHECK(find_generation_setting("top-kk") == nullptr);
  CHECK(find_generation_setting("") == nullptr);
}

TEST_CASE("a value reaches its own field only", "[tools]") {
  GenerationOptions options;
  CHECK(set(options, "temperature", "0.25"));
  CHECK(set(options, "top-k", "7"));
  CHECK(set(options, "top-p", "0.5"));
  CHECK(set(options, "min-p", "0.125"));
  CHECK(set(options, "repeat-penalty", "1.5"));
  CHECK(set(options, "repeat-last-n", "9"));
  CHECK(set(options, "presence-penalty", "-1"));
  CHECK(set(options, "frequency-penalty", "2"));
  CHECK(set(options, "max-tokens", "11"));
  CHECK(set(options, "ignore-eos", "on"));
  CHECK(set(options, "seed", "12345678901234567890"));
  CHECK(options.sampling.temperature == 0.25F);
  CHECK(options.sampling.top_k == 7);
  CHECK(options.sampling.top_p == 0.5F);
  CHECK(options.sampling.min_p == 0.125F);
  CHECK(options.sampling.repeat_penalty == 1.5F);
  CHECK(options.sampling.repeat_last_n == 9);
  CHECK(options.sampling.presence_penalty == -1.0F);
  CHECK(options.sampling.frequency_penalty == 2.0F);
  CHECK(options.max_tokens == 11);
  CHECK(options.ignore_eos);
  CHECK(options.sampling.seed == 12345678901234567890ULL);
}

TEST_CASE("a value out of range changes nothing", "[tools]") {
  GenerationOptions options;
  CHECK_FALSE(set(options, "temperature", "-0.1"));
  CHECK_FALSE(set(options, "temperature", "100.5"));
  CHECK_FALSE(set(options, "repeat-penalty", "101"));
  CHECK_FALSE(set(options, "repeat-last-n", "1000001"));
  CHECK_FALSE(set(options, "top-p", "0"));
  CHECK_FALSE(set(options, "top-p", "1.5"));
  CHECK_FALSE(set(options, "min-p", "2"));
  CHECK_FALSE(set(options, "repeat-penalty", "0"));
  CHECK_FALSE(set(options, "repeat-penalty", "1e-300"));  // 0 as a float
  CHECK_FALSE(set(options, "top-p", "1e-300"));
  CHECK_FALSE(set(options, "presence-penalty", "2.5"));
  CHECK_FALSE(set(options, "max-tokens", "-1"));
  CHECK_FALSE(set(options, "ignore-eos", "perhaps"));
  const GenerationOptions untouched;
  for (const GenerationSetting& setting : generation_settings())
    CHECK(setting.show(options) == setting.show(untouched));
}

TEST_CASE("stop texts and biases are added one by one and cleared together", "[tools]") {
  GenerationOptions options;
  CHECK(set(options, "stop", "\n\n"));
  CHECK(set(options, "stop", "[end]"));
  CHECK_FALSE(set(options, "stop", ""));
  CHECK(options.stop == std::vector<std::string>{"\n\n", "[end]"});
  CHECK(find_generation_setting("stop")->show(options) == "\"\\n\\n\", \"[end]\"");
  CHECK(set(options, "logit-bias", "3=-1.5"));
  CHECK(set(options, "logit-bias", "4=-inf"));
  REQUIRE(options.sampling.logit_bias.size() == 2);
  CHECK(options.sampling.logit_bias[0] == std::pair<Token, float>(3, -1.5F));
  CHECK(std::isinf(options.sampling.logit_bias[1].second));
  for (const char* text : {"", "3", "=1", "3=", "x=1", "3=inf", "3=nan"})
    CHECK_FALSE(set(options, "logit-bias", text));
  find_generation_setting("stop")->clear(options);
  find_generation_setting("logit-bias")->clear(options);
  CHECK(options.stop.empty());
  CHECK(options.sampling.logit_bias.empty());
}
