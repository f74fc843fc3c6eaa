// Prompts that take long to encode, on real threads.

#include <future>
#include <latch>
#include <thread>

#include "support/toy_engine.hpp"
#include "troupe/polled_stream.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using test::request;

namespace {

/// Another tokenizer, which takes a text of many characters only when it is let.
class SlowTokenizer final : public Tokenizer {
 public:
  SlowTokenizer(std::unique_ptr<const Tokenizer> real, std::shared_ptr<std::latch> let)
      : real_(std::move(real)), let_(std::move(let)) {}

  Result<std::vector<Token>> encode(std::string_view text, EncodeOptions options) const override {
    if (text.size() > 1000) {
      let_->wait();
      text = text.substr(0, 10);
    }
    return real_->encode(text, options);
  }
  std::string decode(std::span<const Token> tokens, bool render_special) const override {
    return real_->decode(tokens, render_special);
  }
  std::string_view piece(Token token) const noexcept override { return real_->piece(token); }
  std::string_view spelling(Token token) const noexcept override { return real_->spelling(token); }
  std::size_t vocab_size() const noexcept override { return real_->vocab_size(); }
  std::optional<Token> bos() const noexcept override { return real_->bos(); }
  std::optional<Token> eos() const noexcept override { return real_->eos(); }
  bool adds_bos() const noexcept override { return real_->adds_bos(); }
  bool adds_eos() const noexcept override { return real_->adds_eos(); }
  bool is_control(Token token) const noexcept override { return real_->is_control(token); }
  bool ends_generation(Token token) const noexcept override { return real_->ends_generation(token); }
  std::string_view algorithm() const noexcept override { return real_->algorithm(); }

 private:
  std::unique_ptr<const Tokenizer> real_;
  std::shared_ptr<std::latch> let_;
};

std::unique_ptr<Engine> start_slow(const std::shared_ptr<std::latch>& let) {
  const auto model = test::toy_model();
  // Nobody else has it.
  auto parts = std::make_unique<ModelParts>(std::move(const_cast<ModelParts&>(model->parts())));
  parts->tokenizer = std::make_unique<SlowTokenizer>(std::move(parts->tokenizer), let);
  EngineOptions options;
  options.threads = 1;
  auto engine = Engine::start(std::make_shared<const Model>(std::move(parts)), options);
  REQUIRE(engine);
  return *std::move(engine);
}

bool ends_within_a_minute(const PolledStream& stream) {
  for (int i = 0; i < 60'000 && !stream.ended(); ++i) std::this_thread::sleep_for(1ms);
  return stream.ended();
}

}  // namespace

TEST_CASE("answers go on while many prompts are being encoded", "[engine]") {
  const auto let = std::make_shared<std::latch>(1);
  const auto engine = start_slow(let);
  const EngineDoor door(*engine);
  std::vector<PolledStream> slow;
  for (int i = 0; i < 8; ++i)
    slow.push_back(door.open(request(std::string(2000, 'a'), 3), PolledStream::Reads::answer));
  auto quick = engine->generate(request("abc", 20));
  const bool answered = quick.wait_for(60s) == std::future_status::ready;
  let->count_down();
  REQUIRE(answered);
  CHECK(quick.get()->tokens.size() == 20);
  for (const PolledStream& stream : slow) {
    REQUIRE(ends_within_a_minute(stream));
    CHECK(stream.result()->value().tokens.size() == 3);
  }
}

TEST_CASE("a request whose prompt is still being encoded when the engine stops hears that it stops",
          "[engine]") {
  const auto let = std::make_shared<std::latch>(1);
  const auto engine = start_slow(let);
  const PolledStream stream =
      EngineDoor(*engine).open(request(std::string(2000, 'a'), 3), PolledStream::Reads::answer);
  std::thread stopping([&] { engine->stop(); });
  const bool ended = ends_within_a_minute(stream);
  let->count_down();
  stopping.join();
  REQUIRE(ended);
  REQUIRE_FALSE(*stream.result());
  CHECK(stream.result()->error().code == Errc::draining);
}
