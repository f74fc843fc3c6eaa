#pragma once
// What the runtime has to say to an operator: lines on stderr, never on stdout. Thread-safe.

#include <string_view>

namespace troupe {

enum class LogLevel { debug, info, warning, error, off };

/// What is below `level` is not written. The default is warning: a library is quiet.
void set_log_level(LogLevel level);

void log_info(std::string_view line);
void log_warning(std::string_view line);
void log_error(std::string_view line);

}  // namespace troupe
