#pragma once
// Every limit of the runtime, with its unit, its default and the reason for it. Whatever is not bounded
// here is bounded by something that is.

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe {

/// How the KV cache keeps keys and values.
enum class KvPrecision : std::uint8_t {
  automatic,  ///< f32 for models whose weights are all F32, f16 for the others
  f32,
  f16,
  /// int8, 32 of a head to an f16 scale: 53 % of f16's memory. Decoding behind 4000 tokens was 1.7 times as
  /// fast as with f16 (135 M parameters, two cores). It rounds, so it must be asked for: on two small story
  /// models perplexity moved by 0.1 and 0.4 %, with a mean KL divergence of 3e-4 and 3e-3.
  q8_0,
};

/// What one rendering of a chat template may take. A template comes with a model file and is not trusted;
/// these are far above what templates need, and end a hostile one within about a second.
struct ChatTemplateLimits {
  std::size_t template_bytes_max = 1U << 20;  ///< of its text; the longest in use have some 30 KB
  std::uint64_t steps_max = 20'000'000;    ///< expressions, statements, items, 32 bytes copied, 4 looked at
  std::size_t text_bytes_max = 64U << 20;  ///< of the prompt, and of every text on the way
  std::size_t memory_bytes_max = 128U << 20;  ///< of all values alive at once, the messages included
  std::uint32_t depth_max = 1000;             ///< calls, blocks, operators and data within each other
};

struct ModelOptions {
  /// The vocabulary of a model file that has none of its own. llama2.c checkpoints: their tokenizer.bin;
  /// empty: looked for beside the model. SmallMind checkpoints (.smnd): a UTF-8 text file that holds every
  /// character of the alphabet, e.g. the text that the model was trained on; empty: the one that the
  /// checkpoint keeps, else the model works with token ids only. An error with files that bring their own.
  std::filesystem::path tokenizer = {};
  /// Opens a llama2.c checkpoint even when its tokenizer.bin is not found; it then works with token ids only.
  bool vocabulary_optional = false;
  std::uint32_t threads = 0;  ///< for repacking weights at load; 0: what the process may really use
  /// The text of a chat template (Jinja) to use in place of the file's. Empty: the file's, if it has one.
  std::string chat_template = {};
};

/// How a request is given to one of several replicas.
enum class Routing : std::uint8_t {
  /// Where the fewest tokens are still to be computed, prompts and longest answers of what runs there.
  least_loaded,
  /// In turn.
  round_robin,
  /// Where the beginning of its prompt was given lately, and may still be in the prefix cache: for chats and
  /// shared system prompts. Among those that do not know it, and where waiting would cost more than
  /// computing it again, the least loaded.
  prefix_affinity,
};

/// How generators are kept for requests.
enum class PoolShape : std::uint8_t {
  growing,      ///< spawned when they are needed, up to pool_max, and then reused
  fixed,        ///< pool_max of them from the start, reused, and replaced if they die
  per_request,  ///< one for each request, which ends with it; at most pool_max at once
};

/// A value out of the range that is stated or goes without saying is an error of Engine::start(), which names
/// both; nothing is clamped to a range. Engine::options() has what 0 stood for.
struct EngineOptions {
  /// Kernel threads. 0: what the process may really use (affinity mask and cgroup quota). Changes no bits.
  std::uint32_t threads = 0;

  /// Batchers over the one model, each with its part of the threads, its part of the KV cache, and steps of
  /// its own; a request runs on one of them. More than one is worth having on machines with so many cores, or
  /// several NUMA nodes, that one forward pass over all of them gains nothing from the last ones; and where a
  /// fault is to concern few: what a batcher that dies had running goes on at once on the others. On few
  /// cores it is slower, since each step reads all weights for fewer requests. Requests that begin alike
  /// share what was computed only within a replica. At most one for each thread. Changes no bits.
  std::uint32_t replicas = 1;

  /// Who of several replicas gets a request. None gets one for which it lacks the KV pages. Changes no bits.
  Routing routing = Routing::least_loaded;

  /// Positions of one sequence, prompt and answer together. 0: what the model states, but at least 512 for
  /// rotary positions, which run past their stated length gracefully, and at most 8192 (or what short rotary
  /// factors are for), so that a model made for 128k does not claim gigabytes unasked. Models with learned
  /// positions (gpt2) have no more than they state: asking for more is an error.
  std::uint32_t context_tokens = 0;

  /// Generators that run at once, 1 to 4096; each is one row of a decode batch. Beyond some tens the
  /// arithmetic units are full and more only adds latency.
  std::uint32_t pool_max = 8;

  /// Whether generators outlive their requests. Reuse saves some 15 microseconds per request; one for each
  /// request starts with nothing that another left behind.
  PoolShape pool_shape = PoolShape::growing;

  /// Requests that wait for a generator, and their prompt + max_tokens (at most the context each) in sum.
  /// What exceeds either is refused with a time to retry; nothing is dropped later.
  std::uint32_t queue_requests_max = 1024;
  std::uint64_t queue_tokens_max = 4'000'000;

  /// Bytes of KV cache, divided among the replicas. 0: pool_max sequences of context_tokens, at least one for
  /// each replica, but at most half of the memory that the process may still use.
  std::uint64_t kv_bytes_max = 0;
  KvPrecision kv_precision = KvPrecision::automatic;

  /// Requests take memory of the KV cache as they grow, so more of them run at once than could all reach
  /// their max_tokens: few do. When the cache gets full nevertheless, one waits again, and is later replayed
  /// up to where it was: its reader sees a pause, and the same tokens. It is one that waits for its reader,
  /// or else the one that was started last. Off: each has memory for all that it may get from its start on,
  /// and none is interrupted for want of it; for loads whose answers mostly reach their max_tokens and are
  /// not to pause. Changes no bits.
  bool kv_overcommit = true;

  /// Keep what was computed for the beginnings of prompts and answers as long as the KV cache has room that
  /// nobody needs, for requests that begin with the same tokens: the next turn of a chat, a shared system
  /// prompt. Changes no bits. What is kept longest without use goes first.
  bool prefix_cache = true;

  /// Rows of one forward pass, up to 65 536; raised to pool_max where it is less, so that every generator has
  /// one. Decodes go first; prefill chunks fill up to this, or to what step_stretch_max allows.
  std::uint32_t step_tokens_max = 256;

  /// How much longer a step may take for the prompts in it while streams run, as a multiple, at least 1: what
  /// it takes is measured, and prompts are cut accordingly. Larger is faster prefill; smaller is a steadier
  /// pace of the streams. Steps of up to 5 ms are not cut: nobody notices those.
  double step_stretch_max = 1.9;

  /// Tokens that a request may guess ahead for one step, 0 for none. A guess is what followed when the last
  /// tokens stood in its prompt or answer before; the step verifies all of them at once, and those that are
  /// what would have been sampled cost no step of their own. Changes no bits. How many are tried is decided
  /// step by step, from how often the request's text has repeated itself and from what more rows cost here,
  /// so texts that say nothing twice lose nothing. Seven make eight rows with the token in front, the most
  /// that are multiplied as cheaply as one on wide vectors; beyond, more were slower when measured.
  std::uint32_t draft_tokens_max = 7;

  /// Tokens that a stream may be ahead of its reader. When they are used up its generator pauses.
  std::uint32_t stream_window_tokens = 64;

  /// How long a stream's reader may take nothing while its window is full; then the stream ends with the
  /// error reader_stalled, because it holds a generator and KV pages that others wait for. A minute is longer
  /// than any hiccup of a network, and short enough that forgotten readers do not add up. 0: never. The end
  /// comes between this time and an eighth more.
  std::uint32_t reader_stall_ms_max = 60'000;

  /// How long one forward pass may take. A longer one is taken for stuck: its batcher is given up and another
  /// started, with an empty KV cache of its own, on which what was running is replayed. A thread cannot be
  /// ended from outside, so the stuck one keeps its cache and kernel threads until it returns, or for good.
  /// Passes take milliseconds to seconds, and prompts are cut so that none takes longer than ten, or a
  /// quarter of this, as far as can be known; giving up one that is merely slow makes everything slower. 0:
  /// never.
  std::uint32_t step_stall_ms_max = 120'000;

  /// How long the batcher waits at most for a generator that has not answered its logits before it runs
  /// without it. Less where waiting costs the others more than it spares that one, by the measured times of
  /// steps and answers.
  std::uint32_t straggler_wait_us = 2000;

  /// Restarts of crashed generators and batchers within restart_window_ms before the engine gives up and
  /// fails what runs; the pause before a restart doubles from restart_backoff_ms.
  std::uint32_t restarts_max = 100;
  std::uint32_t restart_window_ms = 10'000;
  std::uint32_t restart_backoff_ms = 1;

  /// How often one request is replayed after faults before it gets the error.
  std::uint32_t replays_max = 8;

  /// How long stop() lets running requests finish before it cancels them; at most an hour.
  std::uint32_t drain_ms = 5'000;
};

}  // namespace troupe
