#pragma once
// Troupe as a library, with std types only. An Engine runs one Model: submit prompts, stream or await
// answers, cancel them, stop in order.
//
//   auto model = troupe::Model::open("model.gguf");
//   auto engine = troupe::Engine::start(*model);
//   auto answer = (*engine)->generate({.prompt = "Once upon a time"}).get();
//   if (answer) std::puts(answer->text.c_str());
//
// Threads: every member of Engine may be called from any thread at any time. A Stream is used by one thread
// at a time, except cancel(). No callback is ever run on a thread of the engine: callbacks run on the thread
// that called the function they were given to, so a slow one slows its own stream only. Programs with an
// event loop, which must not wait, have asio.hpp, actors.hpp (CAF) and, for other loops, polled_stream.hpp.
// Errors: values (error.hpp); nothing throws.
// The same (model file, prompt, options, seed) gives the same tokens, whatever else is running.

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "troupe/error.hpp"
#include "troupe/generation.hpp"
#include "troupe/metrics.hpp"
#include "troupe/model.hpp"
#include "troupe/options.hpp"

namespace troupe {

/// A running answer, read at the reader's own pace: at most EngineOptions::stream_window_tokens wait here,
/// then the generator pauses. A paused one keeps its place in the pool: whoever leaves a stream unread and
/// waits for another answer may wait until EngineOptions::reader_stall_ms_max ends the stream. Destroying an
/// unfinished stream cancels it.
class Stream {
 public:
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

  /// The next token, waiting for it as long as it takes; nullopt when the answer has ended: result() tells
  /// how.
  std::optional<TokenEvent> next();

  /// Like next(), but gives up after `wait`: then `timed_out` is set and nullopt returned.
  std::optional<TokenEvent> next_for(std::chrono::milliseconds wait, bool& timed_out);

  /// Asks for the end; takes effect within one step. next() then drains what is there and returns nullopt.
  /// The only member that another thread may call.
  void cancel();

  /// After next() returned nullopt: the whole answer, or the error that ended it. Waits if called earlier,
  /// reading and discarding the remaining events (the result has them all).
  Result<Generation> result();

 private:
  friend class Engine;
  struct Impl;
  explicit Stream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct BatchOptions {
  std::uint32_t parallelism_max = 0;  ///< prompts in flight at once; 0: the engine's pool_max
  /// Called on the calling thread after each prompt ends, with how many have and how many there are (0 while
  /// that is not known), and many times a second in between, so that a caller can give up while long answers
  /// run. Returning false cancels the rest: they end with finish reason cancelled.
  std::function<bool(std::size_t completed, std::size_t total)> on_progress = {};
  /// Called on the calling thread with each result in the order of the requests, as soon as it and all before
  /// it are there.
  std::function<void(std::size_t index, const Result<Generation>& result)> on_result = {};

  // Only for a batch that reads its requests from a function.

  /// Requests that are read and whose results have not been handed out yet: when the first of them takes
  /// long, so many are answered behind it, or wait. 0: four times parallelism_max.
  std::uint32_t pending_max = 0;
  /// Whether the function has a request, or its end, to return without waiting for it. Asked many times a
  /// second; while it says no, results are handed out. Empty: it always has.
  std::function<bool()> ready = {};
};

class Engine {
 public:
  struct Impl;  // internal

  /// Starts the actors. Errors: bad_argument (an option out of range), too_large (KV cache, memory), io (no
  /// threads).
  static Result<std::unique_ptr<Engine>> start(std::shared_ptr<const Model> model,
                                               const EngineOptions& options = {});

  /// Stops as stop() does, unless that was called.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const Model& model() const noexcept;
  const EngineOptions& options() const noexcept;  ///< with every 0 replaced by what it stood for

  /// Begins an answer to be read token by token. Refusals come at once: bad_argument, context_exceeded,
  /// queue_full (with retry_after_ms), draining, deadline (passed already), too_large (can never fit, or out
  /// of memory), io (no threads), fault; of a conversation also unsupported (the model has no chat template)
  /// and bad_file (its file's does not parse).
  Result<Stream> open_stream(const GenerationRequest& request);

  /// Begins an answer; the future holds it, or the error. Refusals, the same, are in the future too. No
  /// back-pressure is needed: the answer is bounded by max_tokens. Destroying the future does not cancel.
  std::future<Result<Generation>> generate(const GenerationRequest& request);

  /// Reads a whole stream on this thread, calling on_token for each token; returning false from it cancels.
  /// A slow on_token pauses the generator, and nothing else.
  Result<Generation> stream(const GenerationRequest& request,
                            const std::function<bool(const TokenEvent&)>& on_token);

  /// Answers many prompts, at most parallelism_max at once, and returns the results in the order of the
  /// requests. One prompt's error does not disturb the others. Refusals for a full queue are waited out, up
  /// to the request's deadline: it then ends with FinishReason::deadline and no text. Seeds are taken
  /// as they are: see seeded_requests() for "prompt i uses seed + i".
  std::vector<Result<Generation>> batch(std::span<const GenerationRequest> requests,
                                        const BatchOptions& options = {});

  /// The same for sets larger than memory: `next` is called on this thread for one request after the other
  /// until it returns nullopt, never for more than BatchOptions::pending_max ahead. Results go to on_result,
  /// and nowhere else. Once on_progress has returned false no more are read. Returns how many requests there
  /// were.
  std::size_t batch(const std::function<std::optional<GenerationRequest>()>& next,
                    const BatchOptions& options = {});

  /// Requests with the same options for many prompts; request i gets seed + i.
  static std::vector<GenerationRequest> seeded_requests(std::span<const std::string> prompts,
                                                        const GenerationOptions& options);

  /// What the engine has done and is doing; see metrics.hpp. Some loads of atomics: may be asked at any rate.
  EngineStats stats() const;
  /// The same and the distributions of times and sizes. Allocates some kilobytes.
  Metrics metrics() const;

  /// Refuses new requests, lets those that run finish for up to drain_ms, cancels the rest, ends every actor.
  /// Returns when done. Idempotent.
  void stop();

 private:
  friend class EngineDoor;  // polled_stream.hpp: for event loops
  explicit Engine(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace troupe
