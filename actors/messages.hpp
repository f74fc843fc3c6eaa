#pragma once
// The whole protocol between the actors, on one page; what embedders send and get is in troupe/actors.hpp.
//
//   embedder ── Submission ─► router ── Assignment, Credit, Abandon ─► generator ── Ask, Park ─► batcher
//      ▲                      │  ▲                                      │     ▲                    │
//      └── StreamToken/End/Error │◄──────── Emission, Ended, Faulted ───┘     └─ LogitsRows, StepFailure
//                             └──────────── OpenSequence, CloseSequence ─────────────────────────►│
//
// Every accepted Submission is answered by any number of StreamTokens and then by exactly one StreamEnd or
// StreamError. A generator's messages carry (request, epoch); the router raises the epoch whenever it takes a
// request away from a generator, and ignores messages of older epochs: that makes replay exact.
// Only Cancel is sent with high priority, because only the router's mailbox may be long. All the others rely
// on their order, which CAF keeps between two actors within one priority and does not keep between two: its
// priorities are weights, not strict. A CloseSequence still waits for one step at most, since no more than
// one step is ever due at a time.
//
// All types here are for one process: they share memory by pointer.

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/replies_to.hpp>
#include <caf/typed_actor.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/forward.hpp"
#include "troupe/actors.hpp"
#include "troupe/error.hpp"
#include "troupe/generation.hpp"

namespace troupe {

using TimePoint = std::chrono::steady_clock::time_point;

// ---- embedder → router -----------------------------------------------------------------------------------

/// What a request computes: shared between router and generator, never changed.
struct Work {
  std::vector<Token> prompt;
  GenerationOptions options;
};

struct Submission {
  std::shared_ptr<const Work> work;
  std::optional<TimePoint> deadline;
  Priority priority = Priority::normal;
  std::string client_key;
  std::uint32_t window_tokens = 0;  ///< tokens that may be sent ahead of Consumed; 0: no limit
  StreamReader sink;
  StreamTag tag = 0;
};

struct Admission {
  RequestId request = 0;  ///< 0 when refused
  std::optional<Error> refusal;
};

// ---- generator → router ----------------------------------------------------------------------------------

struct Emission {
  RequestId request = 0;
  std::uint32_t epoch = 0;
  TokenEvent event;
  TimePoint made;                   ///< when the event was; it may lie in mailboxes for a while
  std::uint32_t cached_tokens = 0;  ///< see LogitsRows
};

struct Ended {
  RequestId request = 0;
  std::uint32_t epoch = 0;
  FinishReason reason = FinishReason::stop;
  std::uint32_t cached_tokens = 0;  ///< see LogitsRows
};

struct Faulted {
  RequestId request = 0;
  std::uint32_t epoch = 0;
  Error error;
  bool final = false;  ///< replaying would fail in the same way
};

/// Timer of the router to itself: deadlines, back-off, drain. Only the one armed last counts.
struct RouterTick {
  std::uint64_t number = 0;
};

/// Of the router to itself, behind what is in its mailbox: the KV cache may be too small for what runs.
struct EvictTick {};

using RouterActor = caf::typed_actor<caf::replies_to<Submission>::with<Admission>, caf::reacts_to<Cancel>,
                                     caf::reacts_to<Consumed>, caf::replies_to<Drain>::with<Drained>,
                                     caf::reacts_to<Emission>, caf::reacts_to<Ended>, caf::reacts_to<Faulted>,
                                     caf::reacts_to<RouterTick>, caf::reacts_to<EvictTick>>;

// ---- router, generator → batcher -------------------------------------------------------------------------

struct OpenSequence {
  SequenceId sequence = 0;
  std::size_t promised = 0;  ///< positions that there are pages for, whatever others take
};

struct CloseSequence {
  SequenceId sequence = 0;
};

/// Runs `tokens` behind the first `length` positions of the sequence, and behind a single one as many of the
/// `drafts`, guesses at what follows it, as are worth it. Answers the sender with LogitsRows or a
/// StepFailure. An ask for a sequence that is not open is dropped: its request was taken away meanwhile. One
/// for which there are no KV pages waits until there are.
struct Ask {
  SequenceId sequence = 0;
  std::size_t length = 0;     ///< drafts that the sequence holds beyond this were wrong, and are taken back
  std::vector<Token> tokens;  ///< at least one
  std::vector<Token> drafts;
  double draft_rate = 0;      ///< how likely a draft is right if those before it are
  bool alone = false;         ///< share no step with other sequences: it is suspected of breaking steps
  std::size_t top_count = 0;  ///< how many of the largest logits are enough; 0: the whole row is looked at
};

/// The generator will not ask for now. All LogitsRows are answered by an Ask or a Park, so the batcher knows
/// when all have answered.
struct Park {
  SequenceId sequence = 0;
  std::size_t length = 0;  ///< as in Ask
};

struct Quit {};

/// The batcher to itself. StepTick: run the next step, behind the messages that can join it. GatheredTick:
/// the generators' answers to the last step are in. WaitTick: the time to wait before step `number` is over.
struct StepTick {};
struct GatheredTick {};
struct WaitTick {
  std::uint64_t number = 0;
};

using BatcherActor =
    caf::typed_actor<caf::reacts_to<OpenSequence>, caf::reacts_to<CloseSequence>, caf::reacts_to<Ask>,
                     caf::reacts_to<Park>, caf::reacts_to<Quit>, caf::reacts_to<StepTick>,
                     caf::reacts_to<GatheredTick>, caf::reacts_to<WaitTick>>;

// ---- router, batcher → generator -------------------------------------------------------------------------

struct Assignment {
  RequestId request = 0;
  std::uint32_t epoch = 0;
  SequenceId sequence = 0;  ///< open at the batcher
  std::shared_ptr<const Work> work;
  std::vector<Token> emitted;  ///< answer tokens that are already delivered: to be replayed, not to be sent
  bool windowed = false;       ///< whether `credit` limits
  std::uint32_t credit = 0;    ///< tokens that may be emitted now
  bool alone = false;          ///< until its next token: a step for that token failed
  BatcherActor batcher;
};

struct Credit {
  RequestId request = 0;
  std::uint32_t epoch = 0;
  std::uint32_t tokens = 0;
};

/// Forget the request; no answer. The generator is idle afterwards.
struct Abandon {
  RequestId request = 0;
  std::uint32_t epoch = 0;
};

/// The logits behind the last of an Ask's tokens, then those behind each of the drafts that were run.
struct LogitsRows {
  SequenceId sequence = 0;
  std::shared_ptr<const LogitsBlock> block;
  std::size_t first = 0;  ///< of the block's rows
  std::size_t count = 1;
  std::uint32_t cached_tokens = 0;  ///< of the sequence's first ask: the prefix cache had them
};

struct StepFailure {
  SequenceId sequence = 0;
  std::string message;
};

using GeneratorActor =
    caf::typed_actor<caf::reacts_to<Assignment>, caf::reacts_to<Credit>, caf::reacts_to<Abandon>,
                     caf::reacts_to<LogitsRows>, caf::reacts_to<StepFailure>, caf::reacts_to<Quit>>;

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Submission)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Admission)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Emission)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Ended)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Faulted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::RouterTick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::EvictTick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::OpenSequence)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::CloseSequence)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Ask)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Park)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Quit)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::StepTick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::GatheredTick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::WaitTick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Assignment)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Credit)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Abandon)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::LogitsRows)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::StepFailure)
