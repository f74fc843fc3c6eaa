// Damaged templates: bytes changed, taken out, repeated, tags exchanged. Each parses and renders, or is an
// error.

#include <random>

#include "tests/template/render.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr const char* parts[] = {
    "{{", "}}",  "{%",     "%}",       "{#",     "#}",    "-",      "'",     "\"",    "(",
    ")",  "[",   "]",      "{",        "}",      "|",     ".",      ",",     ":",     "~",
    "+",  "*",   "**",     "//",       "%",      "==",    "<",      " in ",  " is ",  " not ",
    "if", "for", "endfor", "endif",    "set",    "macro", "0",      "-1",    "99999", "none",
    "x",  "l",   "loop",   "messages", "tojson", "list",  "string", "range", "\n",    "\xFF"};

std::string mutated(std::string text, std::mt19937& random) {
  const auto at = [&] { return text.empty() ? 0 : random() % text.size(); };
  for (auto changes = 1 + random() % 4; changes > 0; --changes) {
    switch (random() % 5) {
      case 0: text.insert(at(), parts[random() % std::size(parts)]); break;
      case 1: text.erase(at(), 1 + random() % 8); break;
      case 2: text.insert(at(), text.substr(at(), 1 + random() % 40)); break;
      case 3:
        if (!text.empty()) text[at()] = static_cast<char>(random() & 0xFF);
        break;
      default: {
        const std::size_t from = at();
        const std::string part = text.substr(from, 1 + random() % 20);
        text.replace(from, part.size(), parts[random() % std::size(parts)]);
      }
    }
  }
  return text;
}

}  // namespace

TEST_CASE("damaged templates end with a text or an error", "[template]") {
  ChatTemplateLimits limits;
  limits.steps_max = 200'000;
  limits.text_bytes_max = 1U << 18;
  limits.memory_bytes_max = 1U << 21;
  const std::string conversation =
      R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"Hé\n"},{"role":"assistant",)"
      R"("content":null,"tool_calls":[{"id":"123456789","function":{"name":"f","arguments":{"a":[1,2.5,null]}}}]}],)"
      R"("tools":[{"function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"a":)"
      R"({"type":"array","items":{"type":"string"}}}}}}],"l":[1,2,3],"x":"text"})";
  std::vector<std::string> sources;
  for (const auto& entry : std::filesystem::directory_iterator(test_file("models"))) {
    sources.push_back(read_file(entry.path()));
  }
  std::sort(sources.begin(), sources.end());
  const json::value file = json::parse(read_file(test_file("language_cases.json")));
  for (const json::value& item : file.at("cases").as_array()) {
    sources.emplace_back(item.at("template").as_string().data(), item.at("template").as_string().size());
  }
  std::mt19937 random(20261123);
  std::size_t rendered = 0;
  std::size_t refused = 0;
  for (int round = 0; round < 6000; ++round) {
    const std::string source = mutated(sources[random() % sources.size()], random);
    const auto result = render(source, conversation, limits);
    if (result) {
      ++rendered;
      std::size_t end = 0;
      for (const TextRange& range : result->literal) {
        REQUIRE(range.begin >= end);
        REQUIRE(range.end > range.begin);
        end = range.end;
      }
      REQUIRE(end <= result->text.size());
    } else {
      ++refused;
      REQUIRE_FALSE(result.error().message.empty());
    }
  }
  CHECK(rendered > 100);  // or the damage is so great that little is tested
  CHECK(refused > 100);
}
