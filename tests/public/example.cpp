#include <cstdio>
#include <troupe/engine.hpp>

int main() {
  auto model = troupe::Model::open("model.gguf");
  if (!model) return std::fprintf(stderr, "%s\n", model.error().message.c_str()), 1;
  auto engine = troupe::Engine::start(*model);
  if (!engine) return std::fprintf(stderr, "%s\n", engine.error().message.c_str()), 1;

  // Token by token, on this thread; a slow reader pauses its own answer and nothing else.
  auto answer = (*engine)->stream({.prompt = "Once upon a time"}, [](const troupe::TokenEvent& event) {
    std::fputs(event.text.c_str(), stdout);
    return true;  // false cancels
  });
  if (!answer) return std::fprintf(stderr, "%s\n", answer.error().message.c_str()), 1;
  std::printf("\n%u tokens\n", answer->usage.completion_tokens);
}
