// Troupe with nothing but the standard library: one answer as it is made, then several at once.
//
//   c++ -O2 stories.cpp $(pkg-config --cflags --libs troupe) -o stories
//   ./stories "$(pkg-config --variable=model troupe)"

#include <cstdio>
#include <iterator>
#include <string>
#include <troupe/engine.hpp>

namespace {

int fail(const troupe::Error& error) {
  std::fprintf(stderr, "%s: %s\n", troupe::errc_name(error.code), error.message.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: stories MODEL\n"), 2;
  const auto model = troupe::Model::open(argv[1]);
  if (!model) return fail(model.error());
  const auto engine = troupe::Engine::start(*model);
  if (!engine) return fail(engine.error());

  // Token by token, on this thread. A slow reader pauses its own answer and nothing else.
  troupe::GenerationRequest request;
  request.prompt = "Once upon a time";
  request.options.max_tokens = 60;
  std::printf("Once upon a time");
  const auto told = (*engine)->stream(request, [](const troupe::TokenEvent& event) {
    std::printf("%s", event.text.c_str());
    std::fflush(stdout);
    return true;  // false would cancel
  });
  if (!told) return fail(told.error());
  std::printf("\n[%s after %u tokens]\n", troupe::finish_reason_name(told->finish_reason),
              told->usage.completion_tokens);

  // Many prompts share each pass over the weights; the answers come in the order of the prompts.
  const std::string prompts[] = {"The little dog", "Lily and her mom", "One day, a bird", "The big red ball"};
  troupe::GenerationOptions options;
  options.max_tokens = 30;
  options.sampling.seed = 7;  // prompt i gets 7 + i
  troupe::BatchOptions batch;
  batch.on_progress = [](std::size_t completed, std::size_t total) {
    std::fprintf(stderr, "\r%zu of %zu", completed, total);
    return true;
  };
  const auto answers = (*engine)->batch(troupe::Engine::seeded_requests(prompts, options), batch);
  std::fprintf(stderr, "\n");
  for (std::size_t i = 0; i < std::size(prompts); ++i) {
    if (!answers[i]) return fail(answers[i].error());  // one prompt's error would not lose the others
    std::printf("%s%s\n", prompts[i].c_str(), answers[i]->text.c_str());
  }
  const troupe::EngineStats stats = (*engine)->stats();
  std::printf("[%llu tokens in %llu steps]\n", static_cast<unsigned long long>(stats.completion_tokens),
              static_cast<unsigned long long>(stats.steps));
}
