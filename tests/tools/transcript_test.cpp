#include "tools/transcript.hpp"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/support/catch.hpp"

using namespace troupe;
using namespace troupe::tools;

namespace {

Conversation sample() {
  Conversation conversation;
  conversation.system = "Be \"brief\".\n";
  conversation.messages = {
      {"user", "Once\nupon"}, {"assistant", " a time \xF0\x9F\x98\x80\x1b[0m"}, {"user", ""}};
  return conversation;
}

void check_same(const Conversation& a, const Conversation& b) {
  CHECK(a.system == b.system);
  REQUIRE(a.messages.size() == b.messages.size());
  for (std::size_t i = 0; i < a.messages.size(); ++i) {
    CHECK(a.messages[i].role == b.messages[i].role);
    CHECK(a.messages[i].content == b.messages[i].content);
  }
}

// A folder for one test, removed at its end.
struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("troupe-test-" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directory(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string file(const char* name) const { return (path / name).string(); }
};

}  // namespace

TEST_CASE("a conversation reads back from its transcript as it was", "[tools]") {
  const auto loaded = parse_transcript(transcript_text(sample(), "model \"x\""));
  REQUIRE(loaded);
  check_same(*loaded, sample());
  const auto empty = parse_transcript(transcript_text(Conversation{}, ""));
  REQUIRE(empty);
  CHECK(empty->messages.empty());
}

TEST_CASE("a transcript that is none is refused with the field that is wrong", "[tools]") {
  const auto message_of = [](const char* text) {
    const auto result = parse_transcript(text);
    return result ? std::string("accepted") : result.error().message;
  };
  CHECK(message_of("").find("not JSON") == 0);
  CHECK(message_of("{").find("not JSON") == 0);
  CHECK(message_of("[]") == "not a JSON object");
  CHECK(message_of("{}") == "\"format\" is missing");
  CHECK(message_of(R"({"format":1})") == "\"format\" is not a string");
  CHECK(message_of(R"({"format":"x"})") == "\"format\" is \"x\", not \"troupe-transcript\"");
  CHECK(message_of(R"({"format":"troupe-transcript","version":2})") == "\"version\" is not 1");
  CHECK(message_of(R"({"format":"troupe-transcript","version":1})") == "\"system\" is missing");
  CHECK(message_of(R"({"format":"troupe-transcript","version":1,"system":"","messages":{}})") ==
        "\"messages\" is not a list");
  CHECK(message_of(R"({"format":"troupe-transcript","version":1,"system":"","messages":[3]})") ==
        "message 1: not an object");
  CHECK(
      message_of(
          R"({"format":"troupe-transcript","version":1,"system":"","messages":[{"role":"root","content":""}]})") ==
      "message 1: \"role\" is \"root\", not \"user\" or \"assistant\"");
}

TEST_CASE("deeply nested JSON is refused rather than recursed into", "[tools]") {
  CHECK_FALSE(parse_transcript(std::string(100000, '[')));
}

TEST_CASE("saving replaces a transcript but nothing else", "[tools]") {
  const Folder folder;
  const std::string path = folder.file("talk.json");
  REQUIRE(save_transcript(path, sample(), "m"));
  Conversation longer = sample();
  longer.messages.push_back({"assistant", "more"});
  REQUIRE(save_transcript(path, longer, "m"));
  const auto loaded = load_transcript(path);
  REQUIRE(loaded);
  check_same(*loaded, longer);

  const std::string other = folder.file("model.gguf");
  std::ofstream(other) << "GGUF";
  const Status refused = save_transcript(other, sample(), "m");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message == "'" + other + "' exists and is no transcript; choose another name");
  CHECK(std::filesystem::file_size(other) == 4);
  CHECK_FALSE(save_transcript(folder.file("no/such/folder.json"), sample(), "m"));
  CHECK_FALSE(load_transcript(folder.file("missing.json")));
}

TEST_CASE("an answer continues its message, and turns are lines of their own", "[tools]") {
  Conversation conversation;
  conversation.messages = {{"user", "Once upon"}, {"assistant", " a time."}, {"user", "Then"}};
  CHECK(plain_text_of(conversation) == "Once upon a time.\nThen");
  conversation.system = "A story:";
  CHECK(plain_text_of(conversation) == "A story:\nOnce upon a time.\nThen");
  conversation.messages[1].content = " a time.\n";
  CHECK(plain_text_of(conversation) == "A story:\nOnce upon a time.\nThen");
  CHECK(plain_text_of(Conversation{}).empty());
}
