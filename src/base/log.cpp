#include "base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace troupe {
namespace {

spdlog::logger& logger() {
  // A logger of our own, so that an embedding program's spdlog settings and ours do not meet.
  static const auto instance = [] {
    auto made = std::make_shared<spdlog::logger>("troupe", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("troupe: %l: %v");
    made->set_level(spdlog::level::warn);
    return made;
  }();
  return *instance;
}

spdlog::string_view_t view(std::string_view line) {
  return {line.data(), line.size()};
}

}  // namespace

void set_log_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return logger().set_level(spdlog::level::debug);
    case LogLevel::info: return logger().set_level(spdlog::level::info);
    case LogLevel::warning: return logger().set_level(spdlog::level::warn);
    case LogLevel::error: return logger().set_level(spdlog::level::err);
    case LogLevel::off: return logger().set_level(spdlog::level::off);
  }
}

void log_info(std::string_view line) {
  logger().log(spdlog::level::info, view(line));
}
void log_warning(std::string_view line) {
  logger().log(spdlog::level::warn, view(line));
}
void log_error(std::string_view line) {
  logger().log(spdlog::level::err, view(line));
}

}  // namespace troupe
