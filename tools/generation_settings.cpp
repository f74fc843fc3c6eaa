#include "tools/generation_settings.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "base/try.hpp"
#include "model/sampler.hpp"
#include "tools/number_text.hpp"

namespace troupe::tools {
namespace {

using Options = GenerationOptions;
// What the engine takes; see validate() in model/sampler.hpp.
constexpr double temperature_max = 100;
constexpr double repeat_penalty_max = 100;
constexpr std::uint32_t repeat_last_n_max = 1'000'000;

template <class Number>
std::string number_text(Number number) {
  char digits[64];
  const auto end = std::to_chars(digits, digits + sizeof digits, number);
  return {digits, end.ptr};
}

// A field of type float, or of an unsigned type, as a setting.
template <auto Member>
Status set_float(Options& options, std::string_view what, std::string_view value, NumberRange range) {
  TROUPE_TRY(options.sampling.*Member, parse_float(what, value, range));
  return {};
}

Status set_count(std::uint32_t& field, std::string_view what, std::string_view value,
                 std::uint32_t high = std::numeric_limits<std::int32_t>::max()) {
  TROUPE_TRY(const std::uint64_t number, parse_whole(what, value, 0, high));
  field = static_cast<std::uint32_t>(number);
  return {};
}

Status add_stop(Options& options, std::string_view what, std::string_view value) {
  constexpr std::size_t stops_max = 16;  // what GenerationOptions::stop allows
  if (value.empty()) return Error{Errc::bad_argument, std::string(what) + " must not be empty"};
  if (options.stop.size() == stops_max) {
    return Error{Errc::bad_argument,
                 std::string(what) + " can be given " + std::to_string(stops_max) + " times at most"};
  }
  options.stop.emplace_back(value);
  return {};
}

std::string show_stops(const Options& options) {
  std::string out;
  for (const std::string& stop : options.stop) {
    out += out.empty() ? "" : ", ";
    out += '"';
    for (const char c : stop)
      out += c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '"' ? "\\\"" : std::string(1, c);
    out += '"';
  }
  return out.empty() ? "none" : out;
}

Status add_bias(Options& options, std::string_view what, std::string_view value) {
  const std::size_t equals = value.find('=');
  if (equals == std::string_view::npos) {
    return Error{Errc::bad_argument, std::string(what) +
                                         " must look like ID=BIAS, e.g. 42=-5 or 42=-inf, not '" +
                                         std::string(value) + "'"};
  }
  const std::string id_name = std::string(what) + ": the token id";
  TROUPE_TRY(const std::uint64_t id,
             parse_whole(id_name, value.substr(0, equals), 0, std::numeric_limits<Token>::max()));
  const std::string_view amount = value.substr(equals + 1);
  float bias = -std::numeric_limits<float>::infinity();
  if (amount != "-inf") {
    constexpr double bias_max = 1e6;
    const std::string bias_name = std::string(what) + ": the bias";
    TROUPE_TRY(const double number, parse_number(bias_name, amount, {-bias_max, bias_max}));
    bias = static_cast<float>(number);
  }
  options.sampling.logit_bias.emplace_back(static_cast<Token>(id), bias);
  return {};
}

std::string show_bias(const Options& options) {
  std::string out;
  for (const auto& [token, bias] : options.sampling.logit_bias) {
    out += (out.empty() ? "" : ", ") + number_text(token) + "=" + number_text(bias);
  }
  return out.empty() ? "none" : out;
}

using What = std::string_view;
constexpr std::array<GenerationSetting, 13> settings = {{
    {"max-tokens", "-n", "N", "tokens to generate at most; 0 only evaluates the prompt", false,
     [](Options& o, What what, What v) { return set_count(o.max_tokens, what, v); }, nullptr,
     [](const Options& o) { return number_text(o.max_tokens); }},
    {"temperature", "", "T", "how freely to choose, 0 to 100; 0 takes the most likely token", false,
     [](Options& o, What what, What v) {
       return set_float<&SamplingOptions::temperature>(o, what, v, {0, temperature_max});
     },
     nullptr, [](const Options& o) { return number_text(o.sampling.temperature); }},
    {"top-k", "", "N", "choose among the N most likely tokens; 0 is all", false,
     [](Options& o, What what, What v) { return set_count(o.sampling.top_k, what, v); }, nullptr,
     [](const Options& o) { return number_text(o.sampling.top_k); }},
    {"top-p", "", "P",
     "choose among the fewest tokens that have probability P together, above 0 to 1; 1 is all", false,
     [](Options& o, What what, What v) {
       return set_float<&SamplingOptions::top_p>(o, what, v, {0, 1, true});
     },
     nullptr, [](const Options& o) { return number_text(o.sampling.top_p); }},
    {"min-p", "", "P", "drop tokens less likely than P times the best, 0 to 1; 0 drops none", false,
     [](Options& o, What what, What v) {
       return set_float<&SamplingOptions::min_p>(o, what, v, {0, 1});
     },
     nullptr, [](const Options& o) { return number_text(o.sampling.min_p); }},
    {"repeat-penalty", "", "X",
     "make tokens of the last --repeat-last-n less likely, above 0 to 100; 1 is off", false,
     [](Options& o, What what, What v) {
       return set_float<&SamplingOptions::repeat_penalty>(o, what, v, {0, repeat_penalty_max, true});
     },
     nullptr, [](const Options& o) { return number_text(o.sampling.repeat_penalty); }},
    {"repeat-last-n", "", "N", "how many tokens back the repeat penalty looks, 0 to 1000000; 0 is off", false,
     [](Options& o, What what, What v) {
       return set_count(o.sampling.repeat_last_n, what, v, repeat_last_n_max);
     },
     nullptr, [](const Options& o) { return number_text(o.sampling.repeat_last_n); }},
    {"presence-penalty", "", "X", "from -2 to 2: subtracted once for a token that the answer has already",
     false,
     [](Options& o, What what, What v) {
       return set_float<&SamplingOptions::presence_penalty>(o, what, v, {-2, 2});
     },
     nullptr, [](const Options& o) { return number_text(o.sampling.presence_penalty); }},
    {"frequency-penalty", "", "X", "from -2 to 2: subtracted for each time the answer has the token", false,
     [](Options& o, What what, What v) {
       return set_float<&SamplingOptions::frequency_penalty>(o, what, v, {-2, 2});
     },
     nullptr, [](const Options& o) { return number_text(o.sampling.frequency_penalty); }},
    {"logit-bias", "", "ID=BIAS", "add BIAS to the logit of token ID, -inf forbids it; may be repeated", true,
     add_bias, [](Options& o) { o.sampling.logit_bias.clear(); }, show_bias},
    {"stop", "", "TEXT", "end the answer before TEXT; may be repeated", true, add_stop,
     [](Options& o) { o.stop.clear(); }, show_stops},
    {"ignore-eos", "", "", "do not end at the model's end-of-text token", false,
     [](Options& o, What what, What v) -> Status {
       TROUPE_TRY(o.ignore_eos, parse_switch(what, v));
       return {};
     },
     nullptr, [](const Options& o) { return std::string(o.ignore_eos ? "on" : "off"); }},
    {"seed", "", "N", "of the random numbers; the same seed gives the same answer", false,
     [](Options& o, What what, What v) -> Status {
       TROUPE_TRY(o.sampling.seed, parse_whole(what, v, 0, std::numeric_limits<std::uint64_t>::max()));
       return {};
     },
     nullptr, [](const Options& o) { return number_text(o.sampling.seed); }},
}};

}  // namespace

std::span<const GenerationSetting> generation_settings() {
  return settings;
}

Status check_vocabulary(std::string_view what, const GenerationOptions& options, const Tokenizer& tokenizer) {
  std::vector<Token> tokens;
  for (const auto& [token, bias] : options.sampling.logit_bias) tokens.push_back(token);
  TROUPE_TRY_STATUS(check_tokens(what, tokens, tokenizer.vocab_size()));
  return validate(options.sampling, tokenizer.vocab_size());
}

const GenerationSetting* find_generation_setting(std::string_view name) {
  const auto same = [&](const GenerationSetting& setting) {
    return std::equal(name.begin(), name.end(), setting.name.begin(), setting.name.end(),
                      [](char a, char b) { return (a == '_' ? '-' : a) == b; });
  };
  const auto found = std::find_if(settings.begin(), settings.end(), same);
  return found == settings.end() ? nullptr : &*found;
}

}  // namespace troupe::tools
