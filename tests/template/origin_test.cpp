// Which bytes of a prompt are the template's own: only there are special tokens parsed.

#include "tests/template/render.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

/// The text with what is not the template's own in « ».
std::string marked(std::string_view source) {
  const auto rendered =
      render(source, R"({"messages":[{"role":"user","content":"<s>hi"},{"role":"a<s>","content":"YO"}],
      "bos_token":"<b>","name":"<n>","count":3})");
  if (!rendered) FAIL(rendered.error().message);
  std::string out;
  std::size_t at = 0;
  const auto input = [&](std::size_t end) {
    if (at < end) out += "«" + rendered->text.substr(at, end - at) + "»";
    at = end;
  };
  for (const TextRange& range : rendered->literal) {
    input(range.begin);
    out += rendered->text.substr(range.begin, range.end - range.begin);
    at = range.end;
  }
  input(rendered->text.size());
  return out;
}

}  // namespace

TEST_CASE("what messages say stays apart from what the template says", "[template]") {
  CHECK(marked("<u>{{ messages[0].content }}</u>") == "<u>«<s>hi»</u>");
  CHECK(marked("{{ '<u>' + messages[0]['content'] ~ '</u>' }}") == "<u>«<s>hi»</u>");
  CHECK(marked("{{ name }}{{ messages[1].content }}") == "«<n>YO»");
  CHECK(marked("{% for m in messages %}{{ m.content }}|{% endfor %}") == "«<s>hi»|«YO»|");
  CHECK(marked("{% for key in messages[0] %}{{ key }},{% endfor %}") == "«role»,«content»,");
}

TEST_CASE("filters, methods, slices and macros keep the origin", "[template]") {
  CHECK(marked("{{ ('<U>' ~ messages[0].content) | lower | trim }}") == "<u>«<s>hi»");
  CHECK(marked("{{ ('  <U>' ~ messages[0].content ~ ' ').strip().upper() }}") == "<U>«<S>HI»");
  CHECK(marked("{{ messages[0].content.split('>')[1] }}") == "«hi»");
  CHECK(marked("{{ messages | map(attribute='content') | join('+') }}") == "«<s>hi»+«YO»");
  CHECK(marked("{{ messages[0].content.replace('hi', '<x>') }}") == "«<s>»<x>");
  CHECK(marked("{{ '<x>'.replace('x', messages[1].content) }}") == "<«YO»>");
  CHECK(marked("{{ ('ab' ~ messages[1].content ~ 'c')[1:4] }}") == "b«YO»");
  CHECK(marked("{{ ('ab' ~ messages[1].content)[::-1] }}") == "«OY»ba");
  CHECK(marked("{{ messages[1].content | tojson }}") == "\"«YO»\"");
  CHECK(marked("{{ [messages[1].content] }}") == "['«YO»']");
  CHECK(marked("{{ 'a\\n' ~ messages[1].content ~ '\\n' | indent }}") == "a\n«YO»\n");
  CHECK(marked("{{ '%s-%s' % ('x', messages[1].content) }}{{ '{}'.format(name) }}") == "x-«YO<n>»");
  CHECK(marked("{% set x %}<{{ name }}>{% endset %}{{ x }}") == "<«<n>»>");
  CHECK(marked("{% macro m(a) %}<{{ a }}{{ caller() }}>{% endmacro %}{% call m(name) %}q{% endcall %}") ==
        "<«<n>»q>");
}

TEST_CASE("bos_token, numbers and roles that are words count as the template's own", "[template]") {
  CHECK(marked("{{ bos_token }}{{ count }}{{ true }}") == "<b>3True");
  CHECK(marked("{{ '<|' + messages[0].role + '|>' }}") == "<|user|>");
  // Any other role could spell a token by itself.
  CHECK(marked("{{ '<|' + messages[1]['role'] + '|>' }}") == "<|«a<s>»|>");
}
