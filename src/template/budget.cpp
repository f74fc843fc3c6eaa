#include "template/budget.hpp"

namespace troupe::jinja {

void fail_at(std::uint32_t line, const std::string& what, Errc code) {
  throw Failure{code, "line " + std::to_string(line) + ": " + what};
}

void Budget::out_of_steps() const {
  fail_at(line, "it takes more than " + std::to_string(limits_.steps_max) + " steps; the limit is steps_max",
          Errc::too_large);
}

void Budget::text_too_long() const {
  fail_at(line,
          "it makes a text of more than " + std::to_string(limits_.text_bytes_max) +
              " bytes; the limit is text_bytes_max",
          Errc::too_large);
}

void Budget::out_of_memory() const {
  fail_at(line,
          "it needs more than " + std::to_string(limits_.memory_bytes_max) +
              " bytes of memory; the limit is memory_bytes_max",
          Errc::too_large);
}

void Budget::too_deep() const {
  fail_at(line,
          "it nests more than " + std::to_string(limits_.depth_max) + " levels deep; the limit is depth_max",
          Errc::too_large);
}

}  // namespace troupe::jinja
