// Templates that were made to do harm: each ends with an error that names its line, by a limit and not by the
// clock.

#include <cstring>

#include "support/check_has.hpp"
#include "tests/template/render.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr const char* conversation = R"({"messages":[{"role":"user","content":"x"}]})";

/// Small enough that a test is over at once.
ChatTemplateLimits small() {
  ChatTemplateLimits limits;
  limits.steps_max = 1'000'000;
  limits.text_bytes_max = 1U << 20;
  limits.memory_bytes_max = 4U << 20;
  return limits;
}

std::string repeated(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("loops without end run out of steps", "[template]") {
  for (const char* source :
       {"\n{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "\n{% set l = [1] %}{% for x in l %}{% do l.append(x) %}{% endfor %}",
        "\n{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "\n{{ range(99999)|unique|list }}",
        "\n{% set d = {} %}{% for i in range(99999) %}{% do d.update({i: i}) %}{% endfor %}",
        "\n{% set s = 'a' * 500000 %}{% for i in range(999) %}{{ s.find('b') }}{{ s == s ~ '' }}{% endfor %}",
        "\n{% set s = 'a' * 500000 %}{% for i in range(999) %}{{ s.isalpha() }}{{ s.rfind('b' ~ s) }}{% "
        "endfor %}",
        "\n{% set s = 'a' * 500000 %}{{ s.strip('b' * 500000 ~ 'a') }}",
        "\n{% set ns = namespace(s='') %}{% for i in range(99999) %}{% set ns.s = ns.s ~ messages[0].content "
        "~ 'y' %}{% endfor %}"}) {
    INFO(source);
    const Error error = error_of(source, conversation, small());
    CHECK_HAS(error.message, "the chat template, line 2: ");
    CHECK(error.code == Errc::too_large);
  }
}

TEST_CASE("huge texts and lists are refused before they are made", "[template]") {
  for (const char* source :
       {"{{ 'x' * 10 ** 15 }}", "{{ 'x'.center(10 ** 15) }}", "{{ 'x'|center(9223372036854775807) }}",
        "{{ 'x'.ljust(10 ** 15, 'y') }}", "{{ '1'.zfill(10 ** 15) }}",
        "{{ ('x\\n' * 9999)|indent(10 ** 12) }}",
        "{% set ns = namespace(s='xx') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='aa') %}{% for i in range(99) %}{% set ns.s = ns.s.replace('a', 'aaaa') "
        "%}{% endfor %}",
        "{% set ns = namespace(l=[1, 2]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "{{ [1] * 10 ** 12 }}", "{{ range(99999)|join('x' * 9999) }}", "{{ [1]|batch(10 ** 12, 'x') }}",
        "{{ [1]|slice(10 ** 12) }}", "{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
        "{% set ns = namespace(s=messages[0].content ~ 'y') %}{% for i in range(99) %}{% set ns.s = ns.s ~ "
        "ns.s %}{% endfor %}"}) {
    INFO(source);
    CHECK(error_of(source, conversation, small()).code == Errc::too_large);
  }
  for (const char* source :
       {"{{ range(10 ** 9) }}", "{{ 2 ** 10 ** 10 }}", "{{ '%999999999d' % 1 }}",
        "{{ '{:999999999}'.format(1) }}", "{{ '%.999999999f' % 1.5 }}", "{{ strftime_now('%99999999d') }}"}) {
    INFO(source);
    CHECK(error_of(source, conversation, small()).code == Errc::bad_argument);
  }
}

TEST_CASE("recursion is bounded: of macros, of data, of the syntax", "[template]") {
  for (const char* source :
       {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% macro r() %}{% call m() %}{{ r() }}{% endcall %}{% "
        "endmacro %}{{ r() }}",
        "{% set l = [] %}{% do l.append(l) %}{{ l }}", "{% set l = [] %}{% do l.append(l) %}{{ l|tojson }}",
        "{% set l = [] %}{% do l.append(l) %}{% set m = [] %}{% do m.append(m) %}{{ l == m }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l "
        "}}"}) {
    INFO(source);
    CHECK_HAS(error_of(source).message, "depth_max");
  }
  CHECK(text_of("{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% endfor "
                "%}done") == "done");
  for (const auto& [head, part, tail] :
       std::initializer_list<std::array<const char*, 3>>{{"{{ ", "(", "1"},
                                                         {"{{ ", "[", ""},
                                                         {"{{ ", "{1:", ""},
                                                         {"{{ ", "not ", "1 }}"},
                                                         {"{{ ", "-", "1 }}"},
                                                         {"{{ ", "1+", "1 }}"},
                                                         {"{{ 1", "|string", " }}"},
                                                         {"{{ a", ".b", " }}"},
                                                         {"{{ a", "[0]", " }}"},
                                                         {"{{ a", "()", " }}"},
                                                         {"{{ f(", "f(", ""},
                                                         {"{{ ", "1 if 0 else ", "2 }}"},
                                                         {"{{ ", "0 or ", "1 }}"},
                                                         {"{{ ", "1**", "1 }}"},
                                                         {"{{ 1", " is defined", " }}"},
                                                         {"", "{% if 1 %}", ""},
                                                         {"", "{% for x in y %}", ""},
                                                         {"", "{% macro f() %}", ""},
                                                         {"", "{% set a %}", ""},
                                                         {"{% for ", "(", "a"}}) {
    INFO(part);
    CHECK_FALSE(ChatTemplate::parse(head + repeated(part, 20'000) + tail));
  }
  CHECK(text_of("{{ " + repeated("'a' ~ ", 20'000) + "'a' }}").size() == 20'001);
}

TEST_CASE("a template longer than its limit is not parsed", "[template]") {
  ChatTemplateLimits limits;
  limits.template_bytes_max = 10;
  CHECK(ChatTemplate::parse("0123456789", limits));
  CHECK(ChatTemplate::parse("0123456789a", limits).error().code == Errc::too_large);
}

TEST_CASE("each limit can be set", "[template]") {
  ChatTemplateLimits limits;
  limits.steps_max = 100;
  CHECK_HAS(error_of("{% for i in range(1000) %}{% endfor %}", "{}", limits).message, "more than 100 steps");
  limits = {};
  limits.text_bytes_max = 9;
  CHECK_HAS(error_of("0123456789", "{}", limits).message, "more than 9 bytes");
  limits = {};
  limits.depth_max = 5;
  CHECK_HAS(error_of("{{ ((((1 + 1) + 1) + 1) + 1) + 1 }}", "{}", limits).message, "more than 5 levels");
  limits = {};
  limits.memory_bytes_max = 1000;
  CHECK_HAS(error_of("{{ [1] * 1000 }}", "{}", limits).message, "more than 1000 bytes of memory");
}
