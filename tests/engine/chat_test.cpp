// Conversations through the engine: the model's chat template makes the prompt.

#include "support/catch.hpp"
#include "support/toy_model.hpp"
#include "troupe/engine.hpp"

using namespace troupe;

namespace {

constexpr const char* plain_turns =
    "{% for m in messages %}({{ m.role }}){{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}(assistant){% endif %}";

std::shared_ptr<const Model> chatting_model(const std::string& chat_template,
                                            const std::string& replacement = {}) {
  Checkpoint checkpoint = test::toy_checkpoint();
  if (!chat_template.empty()) checkpoint.metadata.insert("tokenizer.chat_template", chat_template);
  ModelOptions options;
  options.chat_template = replacement;
  auto model = load_model(checkpoint, "toy", options, {});
  if (!model) FAIL(model.error().message);
  return *model;
}

GenerationRequest saying(const std::string& text) {
  GenerationRequest request;
  ChatPrompt chat;
  chat.messages = {{"user", text}};
  request.prompt = chat;
  request.options.max_tokens = 12;
  return request;
}

}  // namespace

TEST_CASE("a conversation is answered as the tokens that the template makes of it", "[engine]") {
  const auto model = chatting_model(plain_turns);
  const auto engine = Engine::start(model);
  REQUIRE(engine);
  const GenerationRequest chat = saying("hello</s>");
  GenerationRequest tokens = chat;
  auto encoded = model->encode_chat(std::get<ChatPrompt>(chat.prompt));
  REQUIRE(encoded);
  CHECK(encoded->front() == *model->tokenizer().bos());
  CHECK(std::count(encoded->begin(), encoded->end(), *model->tokenizer().eos()) == 1);  // the template's
  tokens.prompt = *encoded;
  const auto answer = (*engine)->generate(chat).get();
  const auto expected = (*engine)->generate(tokens).get();
  REQUIRE(answer);
  REQUIRE(expected);
  CHECK(answer->tokens == expected->tokens);
  CHECK(answer->usage.prompt_tokens == encoded->size());
  CHECK(model->render_chat(std::get<ChatPrompt>(chat.prompt))->text == "(user)hello</s></s>(assistant)");
}

TEST_CASE("a conversation needs a template, and what the template refuses is refused at once", "[engine]") {
  const auto plain = Engine::start(chatting_model(""));
  REQUIRE(plain);
  CHECK((*plain)->open_stream(saying("hello")).error().code == Errc::unsupported);
  CHECK((*plain)->generate(saying("hello")).get().error().code == Errc::unsupported);
  const auto strict = Engine::start(chatting_model("{{ raise_exception('no') }}"));
  REQUIRE(strict);
  CHECK((*strict)->open_stream(saying("hello")).error().code == Errc::bad_argument);
  const auto broken = Engine::start(chatting_model("{% if %}"));
  REQUIRE(broken);
  CHECK((*broken)->open_stream(saying("hello")).error().code == Errc::bad_file);
  const auto batch = (*plain)->batch(std::vector<GenerationRequest>{saying("a"), saying("b")});
  CHECK(batch.at(1).error().code == Errc::unsupported);
}

TEST_CASE("a template of the caller's takes the place of the file's", "[engine]") {
  const auto model = chatting_model(plain_turns, "mine");
  CHECK(model->info().chat_template == "mine");
  CHECK(model->render_chat({})->text == "mine");
}

TEST_CASE("an answer ends where the template ends an assistant's turn, unless ends are ignored", "[engine]") {
  // A control token that no list of names knows.
  Checkpoint checkpoint = test::toy_checkpoint();
  const auto find = [&](std::string_view key) {
    return const_cast<MetadataValue*>(checkpoint.metadata.find(key));
  };
  auto& spellings = std::get<std::vector<std::string>>(*find("tokenizer.ggml.tokens"));
  auto& types = std::get<std::vector<std::int64_t>>(*find("tokenizer.ggml.token_type"));
  const auto mark = static_cast<Token>(spellings.size() - 1);
  spellings.back() = "<|over|>";
  types.back() = 3;
  checkpoint.metadata.insert("tokenizer.chat_template",
                             std::string("{% for m in messages %}{{ m.content }}<|over|>{% endfor %}"));
  const auto model = load_model(checkpoint, "toy", {}, {});
  REQUIRE(model);
  CHECK_FALSE((*model)->tokenizer().ends_generation(mark));
  const auto engine = Engine::start(*model);
  REQUIRE(engine);
  GenerationRequest request = saying("hello");
  request.options.sampling.logit_bias = {{mark, 1000.0F}};
  const auto answer = (*engine)->generate(request).get();
  REQUIRE(answer);
  CHECK(answer->finish_reason == FinishReason::stop);
  CHECK(answer->tokens.empty());
  request.options.ignore_eos = true;
  CHECK((*engine)->generate(request).get()->tokens == std::vector<Token>(12, mark));
}
