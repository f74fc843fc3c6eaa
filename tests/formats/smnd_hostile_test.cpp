// SMND files with every field at its extremes. Each must be refused by one line that names the field, its
// value and the file's size.

#include <functional>
#include <limits>

#include "formats/smnd.hpp"
#include "tests/formats/allocation_meter.hpp"
#include "tests/formats/raw_file.hpp"
#include "tests/support/check_has.hpp"

namespace troupe {
namespace {

using namespace test;

constexpr std::int32_t kMax = std::numeric_limits<std::int32_t>::max();
constexpr std::int32_t kMin = std::numeric_limits<std::int32_t>::min();

struct Case {
  const char* name;
  std::function<void(RawSmnd&)> damage;
  std::vector<std::string> says;
  Errc code = Errc::bad_file;
};

/// Replaces a part of the metadata.
std::function<void(RawSmnd&)> with(std::string from, std::string to) {
  return [=](RawSmnd& f) { f.with(from, to); };
}
/// Replaces Extra.
std::function<void(RawSmnd&)> extra(std::string json) {
  return [=](RawSmnd& f) { f.extra = json; };
}
std::function<void(RawSmnd&)> version(std::int32_t n) {
  return [=](RawSmnd& f) { f.version = n; };
}
std::function<void(RawSmnd&)> length(std::int32_t n) {
  return [=](RawSmnd& f) { f.metadata_length = n; };
}
std::function<void(RawSmnd&)> count(std::int32_t n) {
  return [=](RawSmnd& f) { f.count = n; };
}
/// Changes parameter 4, blk.0.attn_qkv.weight [12, 4].
std::function<void(RawSmnd&)> qkv(std::function<void(RawParameter&)> change) {
  return [=](RawSmnd& f) { change(f.parameters[4]); };
}
std::function<void(RawSmnd&)> qkv_dims(std::vector<std::int32_t> dims) {
  return qkv([=](RawParameter& p) { p.dims = dims; });
}
std::function<void(RawSmnd&)> value(float x) {
  return qkv([=](RawParameter& p) { p.values.replace(4 * 7, 4, raw(x)); });
}

std::vector<Case> header_cases() {
  return {
      {"magic", [](RawSmnd& f) { f.magic = "SMNX"; }, {"SMND"}},
      {"version 0", version(0), {"version is 0"}, Errc::unsupported},
      {"version 2", version(2), {"version is 2"}, Errc::unsupported},
      {"version -1", version(-1), {"version is -1"}, Errc::unsupported},
      {"metadata length -1", length(-1), {"metadata length is -1"}},
      {"metadata length min", length(kMin), {"metadata length is -2147483648"}},
      {"metadata length max", length(kMax), {"metadata length is 2147483647"}},
      {"metadata length 1 MiB + 1", length((1 << 20) + 1), {"metadata length is 1048577"}},
      {"metadata length beyond the file", length(1 << 20), {"metadata length is 1048576", "bytes follow"}},
      {"no metadata", [](RawSmnd& f) { f.metadata.clear(); }, {"no JSON"}},
      {"metadata one byte short",
       length(static_cast<std::int32_t>(RawSmnd().json().size()) - 1),
       {"no JSON"}},
      {"parameter count -1", count(-1), {"parameter count is -1"}},
      {"parameter count 0", count(0), {"parameter count is 0", "1 layers take 17"}},
      {"parameter count one less", count(16), {"parameter count is 16"}},
      {"parameter count one more", count(18), {"parameter count is 18"}},
      {"parameter count 10001", count(10001), {"parameter count is 10001", "10000"}},
      {"parameter count max", count(kMax), {"parameter count is 2147483647"}},
      {"trailing byte", [](RawSmnd& f) { f.tail.assign(1, 'x'); }, {"1 bytes follow the last parameter"}},
      {"trailing parameter", [](RawSmnd& f) { f.tail = f.parameters[2].bytes(); }, {"28 bytes follow"}},
  };
}

std::vector<Case> metadata_cases() {
  return {
      {"no JSON", [](RawSmnd& f) { f.metadata = "VocabSize=6"; }, {"the metadata is no JSON"}},
      {"byte order mark", [](RawSmnd& f) { f.metadata = "\xEF\xBB\xBF" + f.metadata; }, {"no JSON"}},
      {"no UTF-8", with("\"FfnHiddenDim\":16", "\"x\":\"\xFF\""), {"no JSON"}},
      {"two objects", [](RawSmnd& f) { f.metadata += "{}"; }, {"no JSON"}},
      {"an array", [](RawSmnd& f) { f.metadata = "[]"; }, {"the metadata is an array, not an object"}},
      {"too deep", extra(std::string(100, '[') + std::string(100, ']')), {"no JSON"}},
      {"very deep", [](RawSmnd& f) { f.metadata = std::string(1 << 20, '['); }, {"no JSON"}},
      {"no model type", with("\"ModelType\":\"TransformerModel\",", ""), {"ModelType is missing"}},
      {"another model type", with("TransformerModel", "Mamba\\n"), {"ModelType is 'Mamba\\n'"}},
      {"model type a number", with("\"TransformerModel\"", "3"), {"ModelType is an integer"}},
      {"no vocabulary size", with("\"VocabSize\":6,", ""), {"VocabSize is missing"}},
      {"vocabulary size 0", with("Size\":6", "Size\":0"), {"VocabSize is 0"}},
      {"vocabulary size -6", with("Size\":6", "Size\":-6"), {"VocabSize is -6"}},
      {"vocabulary size text", with("Size\":6", "Size\":\"6\""), {"VocabSize is a string"}},
      {"vocabulary size 6.5", with("Size\":6", "Size\":6.5"), {"VocabSize is a number with a fraction"}},
      {"vocabulary size 1e99", with("Size\":6", "Size\":1e99"), {"VocabSize is a number with a fraction"}},
      {"vocabulary size 2^63",
       with("Size\":6", "Size\":9223372036854775808"),
       {"VocabSize is 9223372036854775808"}},
      {"vocabulary size null", with("Size\":6", "Size\":null"), {"VocabSize is null"}},
      {"width 2^24 + 1", with("Dim\":4", "Dim\":16777217"), {"EmbedDim is 16777217"}},
      {"width no multiple of heads", with("Heads\":2", "Heads\":3"), {"EmbedDim is 4", "NumHeads 3"}},
      {"833 layers", with("Layers\":1", "Layers\":833"), {"NumLayers is 833", "10001"}},
      {"2^24 layers", with("Layers\":1", "Layers\":16777216"), {"NumLayers is 16777216"}},
      {"832 layers", with("Layers\":1", "Layers\":832"), {"parameter count is 17", "832 layers take 9989"}},
      {"extra an array", extra("[]"), {"Extra is an array"}},
      {"extra text", extra("\"a\""), {"Extra is a string"}},
      {"a token list of objects",
       extra(R"({"tokenizer.ggml.tokens":[{}]})"),
       {"Extra.tokenizer.ggml.tokens"}},
      {"a kept object", extra(R"({"general.name":{}})"), {"Extra.general.name is an object"}},
      {"a kept null", extra(R"({"general.name":null})"), {"Extra.general.name is null"}},
      {"alphabet a number", extra(R"({"Alphabet":5})"), {"Extra.Alphabet is an integer"}},
      {"alphabet empty", extra(R"({"Alphabet":""})"), {"Extra.Alphabet", "empty"}},
      {"alphabet beyond UTF-16 units", extra(R"({"Alphabet":"a😀"})"), {"Extra.Alphabet", "😀", "byte 1"}},
  };
}

std::vector<Case> parameter_cases() {
  const std::string label = "parameter 4 (blk.0.attn_qkv.weight)";
  return {
      {"rank -1", qkv([](RawParameter& p) { p.rank = -1; }), {"rank of " + label + " is -1"}},
      {"rank 9", qkv([](RawParameter& p) { p.rank = 9; }), {"rank of " + label + " is 9"}},
      {"rank max", qkv([](RawParameter& p) { p.rank = kMax; }), {"2147483647"}},
      {"rank 0",
       qkv([](RawParameter& p) { p.dims = {}, p.values.resize(4); }),
       {"shape of " + label + " is []", "[12, 4]"}},
      {"rank 8", qkv_dims({12, 4, 1, 1, 1, 1, 1, 1}), {"[12, 4, 1, 1, 1, 1, 1, 1]"}},
      {"dimension 0", qkv_dims({12, 0}), {"dimension 1 of " + label + " is 0"}},
      {"dimension -4", qkv_dims({-12, -4}), {"dimension 0 of " + label + " is -12"}},
      {"dimension max", qkv_dims({kMax, 4}), {label, "2147483647", "100000000"}},
      {"product beyond 64 bits", qkv_dims({kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax}), {label}},
      {"product beyond the elements allowed", qkv_dims({10001, 10000}), {label, "[10001, 10000]"}},
      {"the other way round", qkv_dims({4, 12}), {"[4, 12]", "[12, 4]"}},
      {"count 0", qkv([](RawParameter& p) { p.count = 0; }), {"element count of " + label + " is 0"}},
      {"count -48", qkv([](RawParameter& p) { p.count = -48; }), {"is -48"}},
      {"count one less", qkv([](RawParameter& p) { p.count = 47; }), {"is 47", "[12, 4] has 48"}},
      {"count one more", qkv([](RawParameter& p) { p.count = 49; }), {"is 49"}},
      {"count 2^32 + 48 wrapped", qkv_dims({12, 4, 1073741825, 1}), {label}},
      {"count max", qkv([](RawParameter& p) { p.count = kMax; }), {"is 2147483647"}},
      {"NaN", value(std::numeric_limits<float>::quiet_NaN()), {"element 7 of " + label}},
      {"infinity", value(std::numeric_limits<float>::infinity()), {"element 7 of " + label}},
      {"minus infinity", value(-std::numeric_limits<float>::infinity()), {"element 7 of " + label}},
      {"a larger vocabulary than the rows",
       with("VocabSize\":6", "VocabSize\":7"),
       {"parameter 0 (token_embd.weight)", "[6, 4]", "[7, 4]"}},
      {"a larger context than the rows",
       with("BlockSize\":5", "BlockSize\":1000000"),
       {"parameter 1 (position_embd.weight)"}},
      {"a huge shape in a small file",
       [](RawSmnd& f) {
         f.with("VocabSize\":6", "VocabSize\":16777216");
         f.parameters[0].dims = {16777216, 4};
         f.parameters[0].count = 67108864;
       },
       {"67108864 values of parameter 0 (token_embd.weight) do not fit"}},
  };
}

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO(c.name);
    RawSmnd file;
    c.damage(file);
    const std::string bytes = file.bytes();
    const AllocationMeter meter;
    const auto result = read_smnd(as_bytes(bytes), "x.smnd", std::nullopt, nullptr);
    CHECK(meter.peak_bytes() < 32 * bytes.size() + 16384);
    REQUIRE_FALSE(result);
    const std::string& message = result.error().message;
    CHECK(result.error().code == c.code);
    CHECK_HAS(message, "'x.smnd': ");
    CHECK_HAS(message, "(file size " + std::to_string(bytes.size()) + " bytes)");
    CHECK(message.find('\n') == std::string::npos);
    for (const std::string& part : c.says) CHECK_HAS(message, part);
  }
}

TEST_CASE("a SMND header at its extremes is refused by field and value", "[formats]") {
  check(header_cases());
}

TEST_CASE("SMND metadata that is no JSON, incomplete or absurd is refused by field and value", "[formats]") {
  check(metadata_cases());
}

TEST_CASE("a SMND parameter of wrong rank, shape, count or value is refused by its place and name",
          "[formats]") {
  check(parameter_cases());
}

}  // namespace
}  // namespace troupe
