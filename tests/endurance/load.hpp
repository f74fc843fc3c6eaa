#pragma once
// A company with its threads, and the one client that keeps it busy. The client holds each stream to its
// promises: tokens in order, one end, none lost.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/messages.hpp"
#include "endurance/step_book.hpp"
#include "simulation/draws.hpp"
#include "troupe/model.hpp"
#include "troupe/options.hpp"

namespace troupe::test {

struct Answer {
  std::vector<Token> tokens;
  std::string text;
  std::optional<FinishReason> reason;  ///< once it has ended

  bool ended() const { return reason.has_value(); }
};

/// One owner, one thread; an error of any stream is a violation().
class Load {
 public:
  Load(std::shared_ptr<const Model> model, const EngineOptions& options, std::shared_ptr<StepBook> book);
  /// Everything has ended by then, or it is a violation().
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  /// Request `number`, the same whoever asks for it.
  void submit(std::uint64_t number);
  /// The next stream that was admitted, got a token or ended; its number.
  std::uint64_t next();
  std::size_t outstanding() const;
  std::size_t backlog() const;  ///< events that have come, but not by next()
  const std::map<std::uint64_t, Answer>& answers() const;

  void cancel(std::uint64_t number);  ///< if it was admitted

  /// False when there is none to kill just now.
  bool kill_generator(Draws& draws);
  bool kill_batcher();

  /// After the end of all streams: every gauge is at zero again, and stays.
  void check_gauges();
  std::uint64_t restarts() const;
  std::uint64_t replays() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What these requests answer when nothing disturbs them.
std::map<std::uint64_t, Answer> undisturbed(const std::shared_ptr<const Model>& model,
                                            const std::shared_ptr<StepBook>& book,
                                            const std::vector<std::uint64_t>& numbers);

}  // namespace troupe::test
