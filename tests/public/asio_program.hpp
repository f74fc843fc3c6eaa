#pragma once
// What the tests of asio.hpp have in common: an engine, requests, and a context that runs one coroutine.

#include "troupe/asio.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "support/toy_engine.hpp"

namespace troupe::test {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr auto tuple_awaitable = asio::as_tuple(asio::use_awaitable);

/// Runs a coroutine to its end (in which no macro of Catch may have a co_await: it writes its argument twice)
/// on a context of its own, and rethrows what it throws.
template <class Body>
void run(Body body) {
  asio::io_context context;
  std::exception_ptr failure;
  asio::co_spawn(context, std::move(body), [&](const std::exception_ptr& e) { failure = e; });
  context.run();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace troupe::test
