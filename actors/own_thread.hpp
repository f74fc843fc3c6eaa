#pragma once
// Before an actor gets a thread of its own.

#include <thread>

namespace troupe {

/// To be called right before system.spawn<caf::detached>(). Throws std::system_error when the system gives no
/// thread. CAF counts a detached actor before it asks for its thread, and does not take that back: whoever
/// waits for all actors to end would wait for ever. Here a refusal costs nothing; that it comes between the
/// two is left to chance.
inline void require_thread() {
  std::thread([] {}).join();
}

}  // namespace troupe
