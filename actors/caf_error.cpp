// An Error as caf::error: code and category as numbers, sentence and retry time as context.

#include <caf/actor_system_config.hpp>
#include <caf/message.hpp>
#include <string>

#include "troupe/actors.hpp"

namespace troupe {

caf::error make_error(const Error& error) {
  return {static_cast<std::uint8_t>(error.code), error_atom,
          caf::make_message(error.message, error.retry_after_ms)};
}

std::optional<Error> error_of(const caf::error& error) {
  if (!error || error.category() != error_atom) return std::nullopt;
  Error same;
  same.code = static_cast<Errc>(error.code());
  const caf::message& context = error.context();
  if (context.match_elements<std::string, std::uint32_t>()) {
    same.message = context.get_as<std::string>(0);
    same.retry_after_ms = context.get_as<std::uint32_t>(1);
  }
  return same;
}

void render_errors(caf::actor_system_config& config) {
  config.add_error_category(error_atom, [](std::uint8_t code, caf::atom_value, const caf::message& context) {
    return std::string(errc_name(static_cast<Errc>(code))) +
           (context.empty() ? "" : ": " + context.get_as<std::string>(0));
  });
}

}  // namespace troupe
