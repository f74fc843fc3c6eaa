// A chat over TCP on Boost.Asio: each line that a client sends goes on with its story, and the answer comes
// back token by token, as one line. One thread serves any number of clients.
//
//   c++ -O2 chat_server.cpp $(pkg-config --cflags --libs troupe) -o chat_server
//   ./chat_server "$(pkg-config --variable=model troupe)"      # prints its port; then: nc 127.0.0.1 PORT
//
// Back-pressure needs no code of its own: the next token is pulled when the last one has been written, so
// when a client's connection is full its generator pauses, and nobody else's.

#include <utility>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <troupe/asio.hpp>

namespace {

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::tcp;

constexpr std::size_t line_bytes_max = 4096;
constexpr auto as_values = asio::as_tuple(use_awaitable);  // errors come back instead of being thrown

asio::awaitable<void> write(tcp::socket& socket, std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');  // an answer is one line
  co_await asio::async_write(socket, asio::buffer(text), use_awaitable);
}

asio::awaitable<void> end_line(tcp::socket& socket) {
  co_await asio::async_write(socket, asio::buffer("\n", 1), use_awaitable);
}

/// Goes on with `story`, which grows by what was written.
asio::awaitable<void> answer(tcp::socket& socket, troupe::Engine& engine, std::string& story) {
  troupe::GenerationRequest request;
  request.prompt = story;
  request.options.max_tokens = 80;
  request.client_key = socket.remote_endpoint().address().to_string();  // clients share the engine fairly
  auto [error, stream] = co_await troupe::async_stream(engine, request, as_values);
  if (error) {
    const auto& why = stream.answer().error;  // e.g. the queue is full, and when to come back
    if (!why) co_return;                      // cancelled, which is not the engine's error
    if (why->code == troupe::Errc::context_exceeded) story.clear();
    co_return co_await write(socket, "[" + why->message + "]");
  }
  // Leaving this function early, because the client is gone, cancels the request.
  while (const auto event = co_await stream.async_next(use_awaitable)) {
    story += event->text;
    co_await write(socket, event->text);
  }
}

asio::awaitable<void> serve(tcp::socket socket, troupe::Engine& engine) {
  std::string story;
  std::string received;
  for (;;) {
    const auto [error, size] = co_await asio::async_read_until(
        socket, asio::dynamic_buffer(received, line_bytes_max), '\n', as_values);
    if (error) co_return;  // the client has left, or sends lines without end
    story += received.substr(0, size - 1);
    received.erase(0, size);
    co_await answer(socket, engine, story);
    co_await end_line(socket);
  }
}

asio::awaitable<void> listen(tcp::acceptor& acceptor, troupe::Engine& engine) {
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(as_values);
    if (error) {  // of one client, who hung up, or of the system, which has no more sockets for now
      std::fprintf(stderr, "cannot accept a client: %s\n", error.message().c_str());
      asio::steady_timer pause(acceptor.get_executor(), std::chrono::milliseconds(100));
      co_await pause.async_wait(use_awaitable);
      continue;
    }
    asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), engine),
                   [](const std::exception_ptr& e) {
                     try {
                       if (e) std::rethrow_exception(e);
                     } catch (const std::exception& lost) {
                       std::fprintf(stderr, "a client is lost: %s\n", lost.what());
                     }
                   });
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: chat_server MODEL\n"), 2;
  const auto model = troupe::Model::open(argv[1]);
  if (!model) return std::fprintf(stderr, "%s\n", model.error().message.c_str()), 1;
  const auto engine = troupe::Engine::start(*model);
  if (!engine) return std::fprintf(stderr, "%s\n", engine.error().message.c_str()), 1;

  // Behind the engine, so that it goes first and takes the clients and their requests with it.
  asio::io_context context;
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  std::printf("listening on 127.0.0.1:%u\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](boost::system::error_code, int) { context.stop(); });
  asio::co_spawn(context, listen(acceptor, **engine), asio::detached);
  context.run();
}
