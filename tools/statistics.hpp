#pragma once
// What --stats and /stats say, as lines for people.

#include <string>

#include "troupe/engine.hpp"

namespace troupe::tools {

/// Tokens per second between the first token and the last; 0 with fewer than two.
double tokens_per_second(const Generation& answer);

/// One line about one answer, without a newline.
std::string describe_answer(const Generation& answer);

/// Two lines about an engine, each with a newline.
std::string describe_engine(const EngineStats& stats);

}  // namespace troupe::tools
