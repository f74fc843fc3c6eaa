#include "formats/describe.hpp"

#include <boost/json.hpp>
#include <limits>

#include "base/utf8.hpp"
#include "formats/open.hpp"
#include "tests/support/check_has.hpp"
#include "tests/support/shared_data.hpp"

namespace troupe {
namespace {

Checkpoint hostile() {
  Checkpoint c;
  c.format = "GGUF v3";
  c.file_bytes = 2048;
  c.metadata.insert("general.architecture", std::string("\x1b[31mllama"));
  c.metadata.insert("tokenizer.ggml.model", std::uint64_t{3});  // not a name
  c.metadata.insert("bad\nkey", std::string("\xFF\x00z", 3));
  c.metadata.insert("long", std::string(10000, 'x'));
  c.metadata.insert("nan", std::numeric_limits<double>::quiet_NaN());
  c.metadata.insert("numbers", std::vector<double>(1000, std::numeric_limits<double>::infinity()));
  c.tensors = {{"t\t1", TensorType::f32, {2, 3}, {}}};
  return c;
}

TEST_CASE("a description names what people ask about", "[formats]") {
  const auto path = test::shared_data("models/stories260K/stories260K-Q8_0.gguf");
  if (!path) return;
  const auto opened = open_checkpoint(*path);
  REQUIRE(opened);
  const std::string text = describe(*opened, false);
  for (const char* part :
       {"GGUF v3", "379168 bytes", "architecture    llama", "in 48 tensors", "Q8_0", "F32", "128 tokens",
        "tokenizer       llama, 512 tokens", "chat template   no", "metadata (21 keys)",
        "llama.attention.head_count = 8", "llama.attention.layer_norm_rms_epsilon = 9.99999975e-06",
        "tokenizer.ggml.tokens = ['<unk>', '<s>'", "(512 elements)"}) {
    CHECK_HAS(text, part);
  }
  CHECK(text.find("blk.0.attn_q.weight") == std::string::npos);
  CHECK_HAS(describe(*opened, true), "blk.4.ffn_down.weight");
  CHECK_HAS(describe(*opened, true), "[172, 64]");
}

TEST_CASE("a description shows types by share, how a template begins, and what else is known", "[formats]") {
  Checkpoint c;
  c.metadata.insert("tokenizer.chat_template", std::string("\n{% for message in messages %}\nmore"));
  c.tensors = {{"a", TensorType::f32, {100}, {}}, {"b", TensorType::q8_0, {9, 100}, {}}};
  const Fact facts[] = {{"runs here", "yes"}};
  const std::string text = describe(c, false, facts);
  CHECK_HAS(text, "chat template   yes, 35 bytes: '{% for message in messages %}'");
  CHECK_HAS(text, "runs here       yes\n");
  CHECK_HAS(text, "Q8_0          90.0 %, 900 in 1 tensors");
  CHECK(text.find("Q8_0") < text.find("F32"));
  const auto json = boost::json::parse(describe_json(c, false, "\"runs\":true,\"layers\":3")).as_object();
  CHECK(json.at("runs").as_bool());
  CHECK(json.at("layers").to_number<int>() == 3);
  CHECK(json.at("chat_template").as_bool());
  CHECK(json.at("chat_template_text").as_string() == "\n{% for message in messages %}\nmore");
  CHECK(json.at("tensor_types").at(0).at("type").as_string() == "Q8_0");
}

TEST_CASE("a description never carries control characters or whole megabytes", "[formats]") {
  const std::string text = describe(hostile(), true);
  CHECK(is_valid_utf8(text));
  CHECK(text.size() < 2000);
  for (const char c : text) {
    if (c != '\n' && static_cast<unsigned char>(c) < 0x20) FAIL("control character " << static_cast<int>(c));
  }
  CHECK_HAS(text, "bad\\nkey");
  CHECK_HAS(text, "tokenizer       none");
}

TEST_CASE("the JSON description parses and holds the same facts", "[formats]") {
  const auto path = test::shared_data("models/stories260K/stories260K-Q8_0.gguf");
  if (!path) return;
  const auto opened = open_checkpoint(*path);
  REQUIRE(opened);
  const auto value = boost::json::parse(describe_json(*opened, true)).as_object();
  CHECK(value.at("format").as_string() == "GGUF v3");
  CHECK(value.at("file_bytes").to_number<int>() == 379168);
  CHECK(value.at("architecture").as_string() == "llama");
  CHECK(value.at("context_length").to_number<int>() == 128);
  CHECK(value.at("vocab_size").to_number<int>() == 512);
  CHECK(value.at("chat_template").as_bool() == false);
  CHECK(value.at("tensors").as_array().size() == 48);
  CHECK(value.at("metadata").as_object().size() == 21);
  const auto& tokens = value.at("metadata").at("tokenizer.ggml.tokens").as_object();
  CHECK(tokens.at("element").as_string() == "string");
  CHECK(tokens.at("count").to_number<int>() == 512);
  CHECK(tokens.at("values").as_array().size() == 16);
  std::uint64_t parameters = 0;
  for (const auto& type : value.at("tensor_types").as_array())
    parameters += type.at("parameters").to_number<std::uint64_t>();
  CHECK(value.at("parameters").to_number<std::uint64_t>() == parameters);
  CHECK_FALSE(boost::json::parse(describe_json(*opened, false)).as_object().contains("tensors"));
}

TEST_CASE("hostile metadata still makes valid JSON", "[formats]") {
  const std::string text = describe_json(hostile(), true);
  CHECK(is_valid_utf8(text));
  const auto value = boost::json::parse(text).as_object();
  CHECK(value.at("tokenizer").is_null());
  CHECK(value.at("metadata").at("nan").is_null());
  CHECK(value.at("metadata").at("long").as_string().size() == 10000);
  CHECK(value.at("metadata").at("bad\nkey").as_string() == std::string_view("\uFFFD\0z", 5));
  CHECK(value.at("metadata").at("numbers").at("values").at(0).is_null());
}

}  // namespace
}  // namespace troupe
