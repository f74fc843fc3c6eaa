// A pipeline of CAF actors that write a story together: what one author has written prompts the next.
//
//   c++ -O2 relay.cpp $(pkg-config --cflags --libs troupe) -o relay
//   ./relay "$(pkg-config --variable=model troupe)"
//
// Authors and troupe are actors of one system. An author reads its answer as messages, a few at a time: it is
// sent no more tokens than it has given credit for, so no mailbox overflows however slowly somebody reads.

#include <caf/all.hpp>
#include <cstdio>
#include <string>
#include <troupe/actors.hpp>

namespace {

constexpr std::uint32_t window_tokens = 8;
constexpr std::size_t prompt_bytes_max = 400;  // how much of the story an author reads

struct AuthorState {
  AuthorState() = default;  // CAF 0.17 wants no aggregate

  std::string story;
  const char* name = "author";
};

/// Gets a story, goes on with it, and hands it to the next author.
caf::behavior author(caf::stateful_actor<AuthorState>* self, const troupe::TroupeActor& troupe,
                     const caf::actor& next, std::uint64_t seed) {
  return {
      [=](std::string& story) {
        troupe::OpenStream open;
        open.request.prompt = story.size() > prompt_bytes_max
                                  ? story.substr(story.find(' ', story.size() - prompt_bytes_max))
                                  : story;
        open.request.options.max_tokens = 40;
        open.request.options.sampling.seed = seed;
        open.reader = caf::actor_cast<troupe::StreamReader>(self);
        open.window_tokens = window_tokens;
        self->state.story = std::move(story);
        self->request(troupe, caf::infinite, std::move(open))
            .then([](const troupe::StreamOpened&) {},
                  [=](const caf::error& refused) { self->quit(refused); });
      },
      [=](const troupe::StreamToken& token) {
        std::printf("%s", token.event.text.c_str());
        std::fflush(stdout);
        self->state.story += token.event.text;
        if (token.event.token != troupe::no_token) self->send(troupe, troupe::Consumed{token.request, 1});
      },
      [=](const troupe::StreamEnd& end) {
        std::printf("\n[author %llu: %s after %u tokens]\n", static_cast<unsigned long long>(seed),
                    troupe::finish_reason_name(end.reason), end.usage.completion_tokens);
        self->send(next, std::move(self->state.story));
        self->quit();
      },
      [=](const troupe::StreamError& failed) { self->quit(troupe::make_error(failed.error)); },
  };
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: relay MODEL\n"), 2;
  const auto model = troupe::Model::open(argv[1]);
  if (!model) return std::fprintf(stderr, "%s\n", model.error().message.c_str()), 1;

  caf::actor_system_config config;
  config.set("scheduler.policy", caf::atom("sharing"));  // CAF's default polls when idle
  troupe::render_errors(config);
  caf::actor_system system(config);
  int status = 0;
  {
    auto troupe = troupe::spawn_troupe(system, *model);
    if (!troupe) return std::fprintf(stderr, "%s\n", troupe.error().message.c_str()), 1;

    caf::scoped_actor reader(system);
    caf::actor next = caf::actor_cast<caf::actor>(reader);
    for (const std::uint64_t seed : {3, 2, 1}) {
      next = system.spawn(author, *troupe, next, seed);
      reader->monitor(next);
    }
    std::printf("Once upon a time");
    reader->send(next, std::string("Once upon a time"));
    bool done = false;
    reader->receive_while([&] { return !done; })(
        [&](const std::string& story) {
          done = true;
          std::printf("The whole story:\n%s\n", story.c_str());
        },
        [&](const caf::down_msg& author_ended) {
          if (!author_ended.reason) return;  // its work is done
          done = true;
          status = 1;
          std::fprintf(stderr, "%s\n", system.render(author_ended.reason).c_str());
        });
  }  // the last handle to the troupe goes, and with it the troupe
  return status;
}
