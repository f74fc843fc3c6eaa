#pragma once

#include <boost/json/value.hpp>

#include "template/rendering.hpp"

namespace troupe::jinja {

/// A JSON value as the template sees it. Integers that 64 bits with a sign do not hold become floats.
Value from_json(Rendering& in, const boost::json::value& value, Origin origin);

/// The messages of a conversation: input, but their roles, where these are words, are as good as the
/// template's own text. Templates spell tokens with them: '<|' + message['role'] + '|>'.
Value messages_from_json(Rendering& in, const boost::json::value& messages);

}  // namespace troupe::jinja
