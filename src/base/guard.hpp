#pragma once
// Where the public interface begins: what the standard library throws when the system has no more to give
// becomes an Error there.

#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "troupe/error.hpp"

namespace troupe {

/// body()'s result, or too_large when memory ran out in it, or io when the system refused it a thread or the
/// like. `what` begins the message: "loading model.gguf".
template <class Body>
auto guarded(const std::string& what, Body&& body) -> decltype(body()) {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    return Error{Errc::too_large, what + ": out of memory"};
  } catch (const std::system_error& error) {
    return Error{Errc::io, what + ": " + error.what()};
  }
}

}  // namespace troupe
