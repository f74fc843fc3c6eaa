#include "tools/json_text.hpp"

#include <boost/json.hpp>
#include <limits>

#include "tests/support/catch.hpp"

using namespace troupe;
using namespace troupe::tools;

namespace {

Generation answer() {
  Generation generation;
  generation.text = "He said \"no\".\n";
  generation.tokens = {5, 6};
  generation.finish_reason = FinishReason::length;
  generation.usage = {3, 2, 1};
  generation.timings = {0.5, 1.25, 10};
  return generation;
}

}  // namespace

TEST_CASE("every byte string becomes a JSON string on one line of harmless characters", "[tools]") {
  CHECK(json_quoted("a\"b\\c\n\t\r") == R"("a\"b\\c\n\t\r")");
  CHECK(json_quoted("\x1b[0m\x7f\xC2\x9B") == R"("\u001b[0m\u007f\u009b")");
  CHECK(json_quoted("gr\xC3\xBC\xC3\x9F"
                    "e") ==
        "\"gr\xC3\xBC\xC3\x9F"
        "e\"");
  CHECK(json_quoted("\xFF"
                    "a\xE2\x82") ==
        "\"\xEF\xBF\xBD"
        "a\xEF\xBF\xBD\"");
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  boost::json::error_code error;
  boost::json::parse(json_quoted(every_byte), error);
  CHECK_FALSE(error);
}

TEST_CASE("numbers read back as the same floats, and what is none becomes null", "[tools]") {
  CHECK(json_number(0.1F) == "0.1");
  CHECK(json_number(17.7994F) == "17.7994");
  CHECK(json_number(-std::numeric_limits<float>::infinity()) == "null");
  CHECK(json_number(std::numeric_limits<float>::quiet_NaN()) == "null");
}

TEST_CASE("a line of generate --json has the shape that scripts rely on", "[tools]") {
  CHECK(json_generation(7, "Once\xFF", Result<Generation>(answer())) ==
        "{\"index\":7,\"prompt\":\"Once\xEF\xBF\xBD\",\"text\":\"He said \\\"no\\\".\\n\",\"tokens\":[5,6],"
        "\"finish_reason\":\"length\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"cached_"
        "tokens\":1},"
        "\"timings\":{\"queue_ms\":0.500,\"ttft_ms\":1.250,\"total_ms\":10.000}}");
}

TEST_CASE("a failed prompt keeps the shape and adds the error", "[tools]") {
  const std::string line =
      json_generation(0, "p", Error{Errc::context_exceeded, "600 tokens do not fit the context of 512", 0});
  const boost::json::value value = boost::json::parse(line);
  CHECK(value.at("finish_reason").as_string() == "error");
  CHECK(value.at("tokens").as_array().empty());
  CHECK(value.at("error").at("code").as_string() == "context_exceeded");
  CHECK(value.at("error").at("message").as_string() == "600 tokens do not fit the context of 512");
}
