// What Jinja2 does not have, or says differently, and the messages of errors.

#include "support/check_has.hpp"
#include "tests/template/render.hpp"

using namespace troupe;
using namespace troupe::test;

TEST_CASE("lists and dicts can be changed, unlike in Jinja's immutable sandbox", "[template]") {
  CHECK(text_of(
            "{% set l = [1] %}{% set _ = l.append(2) %}{% do l.extend([3]) %}{{ l }}{{ l.pop() }}{{ l }}") ==
        "[1, 2, 3]3[1, 2]");
  CHECK(text_of("{% set d = {'a': 1} %}{% do d.update({'b': 2}, c=3) %}{{ d.pop('a') }}{{ d }}") ==
        "1{'b': 2, 'c': 3}");
  CHECK(
      text_of("{% set l = [3, 1] %}{% do l.insert(1, 2) %}{% do l.reverse() %}{% do l.remove(3) %}{{ l }}") ==
      "[1, 2]");
}

TEST_CASE("an error names the line and what is wrong with it", "[template]") {
  const auto message = [](std::string_view source) {
    return error_of(source, R"({"messages":[{"role":"user"}]})").message;
  };
  CHECK(message("a\nb{{ x.y }}") == "the chat template, line 2: 'x' is undefined");
  CHECK(message("{{\nmessages[0]\n.content + 'x' }}") ==
        "the chat template, line 3: dict object has no attribute 'content'");
  CHECK(message("\n\n{{ raise_exception('Roles must\nalternate') }}") ==
        "the chat template, line 3: the template says: Roles must\\nalternate");
  CHECK(message("{% for m in messages %}\n{{ m|frobnicate }}\n{% endfor %}") ==
        "the chat template, line 2: there is no filter 'frobnicate'");
  CHECK(message("\n{% if x %}") ==
        "the chat template, line 2: the block that begins here has no {% endif %}");
  CHECK_HAS(message("{% include 'x' %}"), "'include' has no meaning in a chat template");
  CHECK_HAS(message("{% for m in messages recursive %}{% endfor %}"), "recursive loops are not supported");
  CHECK_HAS(message("{{ 1 + }}"), "expected an expression, found '}}'");
  CHECK_HAS(message("{{ 'a' + 1 }}"), "'+' is not possible between str and int");
  CHECK_HAS(message("{{ 9223372036854775807 + 1 }}"), "too large for 64 bits");
  CHECK_HAS(message("{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}"),
            "macro 'f' takes at most 1 arguments, not 2");
  CHECK_HAS(message("{{ 'x'|replace('a') }}"), "'replace' needs 'new'");
  CHECK_HAS(message("{{ 'x'|trim(foo=1) }}"), "'trim' has no parameter 'foo'");
}

TEST_CASE("a template that does not parse is a bad file, one that refuses a conversation a bad argument",
          "[template]") {
  CHECK(error_of("{% if %}").code == Errc::bad_file);
  CHECK(error_of("{{ raise_exception('no') }}").code == Errc::bad_argument);
  CHECK(error_of("{{ x }}", "[1]").code == Errc::bad_argument);
  CHECK(error_of("{{ x }}", "{").code == Errc::bad_argument);
}

TEST_CASE("the time is what it is said to be", "[template]") {
  CHECK(text_of("{{ strftime_now('%A %d %B %Y %j %H:%M:%S') }}") == "Friday 26 July 2024 208 00:00:00");
  const auto parsed = ChatTemplate::parse("{{ strftime_now('%Y') | int > 2000 }}");
  REQUIRE(parsed);
  CHECK((*parsed)->render(ChatPrompt{})->text == "True");  // by the clock
}

TEST_CASE("a chat brings its messages, their fields, tools and variables", "[template]") {
  const auto parsed = ChatTemplate::parse(
      "{{ bos_token }}{{ messages | tojson }}{{ tools | tojson }}{{ documents }}{{ add_generation_prompt "
      "}}{{ mood }}");
  REQUIRE(parsed);
  ChatPrompt chat;
  chat.messages = {{"user", "Hi"},
                   {"assistant", "", R"({"content":null,"tool_calls":[{"id":"1"}]})"},
                   {"tool", "5", R"({"name":"f"})"}};
  CHECK((*parsed)->render(chat, {"<s>", "</s>"})->text ==
        R"(<s>[{"role": "user", "content": "Hi"}, )"
        R"({"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}, )"
        R"({"role": "tool", "content": "5", "name": "f"}]nullNoneTrue)");
  chat.messages.clear();
  chat.tools_json = R"([{"a":1.0}])";
  chat.variables_json = R"({"mood":"good","add_generation_prompt":false})";
  CHECK((*parsed)->render(chat)->text == R"([][{"a": 1.0}]NoneFalsegood)");
  for (const char* broken : {"{", "1", "[1"}) {
    chat.tools_json = broken;
    CHECK((*parsed)->render(chat).error().code == Errc::bad_argument);
  }
  chat.tools_json = "";
  chat.messages = {{"user", "Hi", "[]"}};
  CHECK_HAS((*parsed)->render(chat).error().message, "the fields of a message");
}
