#pragma once
// Before CAF starts threads.

#include <cstddef>

namespace troupe {

/// Has the system give `count` threads at once, which end. Throws std::system_error when it does not.
///
/// To be called right before CAF is to start as many: it does not get over a refusal. An actor system that is
/// half started destroys what its threads wait for; and a detached actor is counted before its thread is
/// asked for, so that whoever waits for all actors to end would wait for ever. Here a refusal costs nothing;
/// that it comes between the two is left to chance.
void require_threads(std::size_t count);

}  // namespace troupe
