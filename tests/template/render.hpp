#pragma once

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "troupe/chat_template.hpp"

namespace troupe::test {

namespace json = boost::json;

/// What strftime_now() tells in tests: midnight of 26 July 2024.
inline constexpr std::chrono::local_seconds today =
    std::chrono::local_days(std::chrono::year(2024) / std::chrono::July / 26);

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  REQUIRE(in.good());
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// A file that lies beside these tests.
inline std::filesystem::path test_file(const std::string& name) {
  const char* folder = std::getenv("TROUPE_TEST_FILES");
  return std::filesystem::path(folder != nullptr ? folder : "tests/template") / name;
}

inline Result<RenderedChat> render(std::string_view source, std::string_view variables = "{}",
                                   const ChatTemplateLimits& limits = {}) {
  const auto parsed = ChatTemplate::parse(source, limits);
  if (!parsed) return parsed.error();
  return (*parsed)->render_json(variables, today);
}

inline std::string text_of(std::string_view source, std::string_view variables = "{}") {
  const auto rendered = render(source, variables);
  if (!rendered) FAIL(rendered.error().message);
  return rendered->text;
}

inline Error error_of(std::string_view source, std::string_view variables = "{}",
                      const ChatTemplateLimits& limits = {}) {
  const auto rendered = render(source, variables, limits);
  if (rendered) FAIL("no error, but: " << rendered->text.substr(0, 200));
  return rendered.error();
}

}  // namespace troupe::test
