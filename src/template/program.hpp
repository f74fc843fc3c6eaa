#pragma once
// The edge of this room: behind it errors are thrown, in front of it they are values.

#include <boost/json/object.hpp>
#include <chrono>
#include <string_view>

#include "template/syntax.hpp"
#include "troupe/chat_template.hpp"

namespace troupe::jinja {

/// A template as it runs. Immutable.
class Program {
 public:
  /// Errors: bad_file, too_large.
  static Result<Program> parse(std::string_view source, const ChatTemplateLimits& limits);

  /// A variable and where its text counts as coming from. Roles of messages are found by themselves.
  struct Variable {
    std::string_view name;
    const boost::json::value* value = nullptr;
    Origin origin = Origin::input;
  };
  /// Errors: bad_argument, too_large.
  Result<RenderedChat> render(const std::vector<Variable>& variables, std::chrono::local_seconds now) const;

 private:
  Program(Syntax syntax, const ChatTemplateLimits& limits) : syntax_(std::move(syntax)), limits_(limits) {}

  Syntax syntax_;
  ChatTemplateLimits limits_;
};

}  // namespace troupe::jinja
