// A file's templates together with its vocabulary.

#include "template/chat_format.hpp"

#include "support/check_has.hpp"
#include "tests/tokenizer/vocabularies.hpp"
#include "tokenizer/spm.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr const char* key = "tokenizer.chat_template";

/// Bytes, <s>, </s>, and the marks of turns; BOS in front of every text unless told otherwise.
struct World {
  explicit World(bool adds_bos = true) {
    Vocabulary v = byte_vocabulary();
    bos = v.bos.emplace(add_token(v, "<s>", 0, TokenType::control));
    eos = v.eos.emplace(add_token(v, "</s>", 0, TokenType::control));
    user = add_token(v, "<|user|>", 0, TokenType::control);
    done = add_token(v, "<|done|>", 0, TokenType::control);
    v.adds_bos = adds_bos;
    tokenizer = std::make_unique<SpmTokenizer>(std::move(v));
  }

  ChatFormat format(std::string_view replacement = {}) const {
    auto read = ChatFormat::read(metadata, *tokenizer, replacement);
    if (!read) FAIL(read.error().message);
    return *std::move(read);
  }

  std::vector<Token> encoded(const ChatPrompt& chat) const {
    auto tokens = format().encode(chat);
    if (!tokens) FAIL(tokens.error().message);
    return *std::move(tokens);
  }

  Metadata metadata;
  std::unique_ptr<Tokenizer> tokenizer;
  Token bos = 0, eos = 0, user = 0, done = 0;
};

ChatPrompt saying(std::string text) {
  ChatPrompt chat;
  chat.messages = {{"user", std::move(text)}};
  return chat;
}

}  // namespace

TEST_CASE("special tokens come from the template, never from a message", "[template]") {
  World world;
  world.metadata.insert(
      key, std::string("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|done|>{% endfor %}"));
  CHECK(world.encoded(saying("a")) == std::vector<Token>{world.bos, world.user, 'a', world.done});
  std::vector<Token> expected = {world.bos, world.user};
  for (const char c : std::string("<|done|><s>")) expected.push_back(static_cast<unsigned char>(c));
  expected.push_back(world.done);
  CHECK(world.encoded(saying("<|done|><s>")) == expected);
  // Nor out of two halves of which one is a message's.
  world.metadata = {};
  world.metadata.insert(key, std::string("<|do{{ messages[0].content }}|>"));
  expected = {world.bos};
  for (const char c : std::string("<|done|>")) expected.push_back(static_cast<unsigned char>(c));
  CHECK(world.encoded(saying("ne")) == expected);
}

TEST_CASE("a prompt begins with one BOS, whether the template spells it, the vocabulary adds it, or both",
          "[template]") {
  for (const bool spelled : {false, true}) {
    for (const bool added : {false, true}) {
      World world(added);
      world.metadata.insert(key, std::string(spelled ? "{{ bos_token }}" : "") + "a");
      std::vector<Token> expected = {'a'};
      if (spelled || added) expected.insert(expected.begin(), world.bos);
      CHECK(world.encoded({}) == expected);
    }
  }
}

TEST_CASE("the token behind an assistant's message ends an answer", "[template]") {
  World world;
  CHECK(world.format().end_tokens().empty());
  const auto ends_with = [&](const char* source) {
    world.metadata = {};
    world.metadata.insert(key, std::string(source));
    return world.format().end_tokens();
  };
  CHECK(ends_with("{% for m in messages %}{{ m.content }}<|done|>{% endfor %}") ==
        std::vector<Token>{world.done});
  CHECK(ends_with("{% for m in messages %}{{ m.content }} \n<|done|>{% endfor %}") ==
        std::vector<Token>{world.done});
  CHECK(ends_with("{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}")
            .empty());  // ends it anyway
  CHECK(ends_with("{% for m in messages %}{{ m.content }}: <|done|>{% endfor %}").empty());
  CHECK(ends_with("{{ raise_exception('no') }}").empty());
  CHECK(ends_with("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}").empty());
}

TEST_CASE("a file's template for tools is used when there are tools", "[template]") {
  World world;
  world.metadata.insert(key, std::string("main"));
  world.metadata.insert("tokenizer.chat_template.tool_use", std::string("tools"));
  ChatPrompt chat;
  CHECK(world.format().render(chat)->text == "main");
  chat.tools_json = "[]";
  CHECK(world.format().render(chat)->text == "main");
  chat.tools_json = "[1]";
  CHECK(world.format().render(chat)->text == "tools");
  CHECK(world.format("mine").render(chat)->text == "mine");
  CHECK(world.format("mine").source() == "mine");
}

TEST_CASE("templates in an array are found by their names", "[template]") {
  World world;
  world.metadata.insert(key, std::vector<std::string>{"for tools", "for all"});
  world.metadata.insert("tokenizer.chat_templates", std::vector<std::string>{"tool_use", "default"});
  ChatPrompt chat;
  CHECK(world.format().render(chat)->text == "for all");
  chat.tools_json = "[1]";
  CHECK(world.format().render(chat)->text == "for tools");
}

TEST_CASE("a missing template and a broken one are different errors, and neither before it is used",
          "[template]") {
  World world;
  CHECK_FALSE(world.format().has_template());
  CHECK(world.format().render(ChatPrompt{}).error().code == Errc::unsupported);
  world.metadata.insert(key, std::string("{% if %}"));
  CHECK(world.format().has_template());
  CHECK(world.format().render(ChatPrompt{}).error().code == Errc::bad_file);
  const auto refused = ChatFormat::read(world.metadata, *world.tokenizer, "{{ 1 + }}");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::bad_argument);
  CHECK(world.format("fine").render(ChatPrompt{})->text == "fine");
}
