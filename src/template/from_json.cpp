#include "template/from_json.hpp"

#include <algorithm>
#include <boost/json.hpp>

namespace troupe::jinja {
namespace {

namespace json = boost::json;

/// A word as roles are; anything else could hide the spelling of a token.
bool is_plain_role(std::string_view role) {
  const auto is_word_character = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !role.empty() && role.size() <= 64 && std::all_of(role.begin(), role.end(), is_word_character);
}

}  // namespace

Value from_json(Rendering& in, const json::value& value, Origin origin) {
  in.budget.step();
  const Budget::Level level(in.budget);
  switch (value.kind()) {
    case json::kind::null: return None{};
    case json::kind::bool_: return value.get_bool();
    case json::kind::int64: return std::int64_t{value.get_int64()};
    case json::kind::uint64: return static_cast<double>(value.get_uint64());
    case json::kind::double_: return value.get_double();
    case json::kind::string:
      return in.make_text({value.get_string().data(), value.get_string().size()}, origin);
    case json::kind::array: {
      List& list = in.make_list();
      list.items.reserve(value.get_array().size());
      for (const json::value& item : value.get_array()) list.push(in.budget, from_json(in, item, origin));
      return &list;
    }
    case json::kind::object: break;
  }
  auto& dict = in.make<Dict>();
  dict.items.reserve(value.get_object().size());
  for (const auto& [key, item] : value.get_object()) {
    // Not by set(), which would look for the key: JSON objects have each only once.
    in.budget.hold(sizeof dict.items.front());
    dict.items.emplace_back(in.make_text({key.data(), key.size()}, origin), from_json(in, item, origin));
  }
  return &dict;
}

Value messages_from_json(Rendering& in, const json::value& messages) {
  const Value list = from_json(in, messages, Origin::input);
  if (list.list() == nullptr) return list;
  for (const Value& message : list.list()->items) {
    if (message.dict() == nullptr) continue;
    for (auto& [key, value] : message.dict()->items) {
      if (key.text()->bytes() != "role" || value.text() == nullptr) continue;
      if (is_plain_role(value.text()->bytes())) value = in.make_text(std::string(value.text()->bytes()));
    }
  }
  return list;
}

}  // namespace troupe::jinja
