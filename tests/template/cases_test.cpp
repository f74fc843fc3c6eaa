// Templates with the texts that Jinja2 makes of them. jinja_oracle.py holds the expected texts to Jinja2
// itself.

#include "support/shared_data.hpp"
#include "tests/template/render.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

json::value read_json(const std::filesystem::path& path) {
  json::parse_options options;
  options.max_depth = 64;
  return json::parse(read_file(path), {}, options);
}

std::string string_of(const json::value& value) {
  return std::string(value.as_string().data(), value.as_string().size());
}

/// Whether the rendering is what the case says: a text, or a failure.
void check(const std::string& source, const json::value& variables, const json::object& expected) {
  const auto rendered = render(source, json::serialize(variables));
  if (expected.contains("fails")) {
    CHECK_FALSE(rendered);
    return;
  }
  if (!rendered) FAIL(rendered.error().message);
  CHECK(rendered->text == string_of(expected.at("expected")));
}

}  // namespace

TEST_CASE("the language is Jinja2's", "[template]") {
  const json::value file = read_json(test_file("language_cases.json"));
  for (const json::value& item : file.at("cases").as_array()) {
    const std::string source = string_of(item.at("template"));
    INFO(source);
    check(source, file.at("variables"), item.as_object());
  }
}

TEST_CASE("templates like those of popular models give the same prompts as Jinja2", "[template]") {
  const json::value file = read_json(test_file("model_cases.json"));
  for (const json::value& item : file.at("cases").as_array()) {
    const std::string name = string_of(item.at("template"));
    const auto conversation = item.at("conversation").to_number<std::size_t>();
    const bool tools = item.at("tools").as_bool();
    INFO(name << ", conversation " << conversation << (tools ? ", with tools" : ""));
    json::object variables = {{"messages", file.at("conversations").at(conversation)},
                              {"tools", tools ? file.at("tools") : json::value(nullptr)},
                              {"documents", nullptr},
                              {"add_generation_prompt", true},
                              {"bos_token", "<s>"},
                              {"eos_token", "</s>"}};
    for (const auto& more : item.at("variables").as_object()) variables[more.key()] = more.value();
    check(read_file(test_file("models") / name), variables, item.as_object());
  }
}

TEST_CASE("thirty templates of real models give the same prompts as Jinja2", "[template]") {
  const auto path = shared_data("chat-templates/llama.cpp-test-chat-template.json");
  if (!path) return;
  const json::value file = read_json(*path);
  for (const json::value& item : file.at("cases").as_array()) {
    INFO(string_of(item.at("name")));
    json::object variables = {{"messages", file.at("messages")}, {"add_generation_prompt", true}};
    for (const char* token : {"bos_token", "eos_token"}) {
      const json::value* text = item.as_object().if_contains(token);
      variables[token] = text != nullptr ? *text : json::value("");
    }
    const std::string expected = string_of(item.at("python_jinja2_render"));
    json::object outcome = {{"expected", expected}};
    if (expected.starts_with("EXC ")) outcome = {{"fails", true}};
    check(string_of(item.at("template_str")), variables, outcome);
  }
}
