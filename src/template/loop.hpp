#pragma once

#include "template/builtin.hpp"

namespace troupe::jinja {

/// The variable `loop` inside of a {% for %}.
struct Loop final : Object {
  std::string_view type_name() const override { return "LoopContext"; }
  std::optional<Value> attribute(Rendering& in, std::string_view name) override;

  const List* items = nullptr;
  std::size_t index0 = 0;
  std::optional<List*> last_changed;  // the arguments of the last loop.changed()
};

}  // namespace troupe::jinja
