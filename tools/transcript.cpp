#include "tools/transcript.hpp"

#include <boost/json.hpp>
#include <filesystem>

#include "base/atomic_file.hpp"
#include "base/try.hpp"
#include "tools/json_text.hpp"
#include "tools/prompt_file.hpp"

namespace troupe::tools {
namespace {

namespace json = boost::json;

constexpr std::string_view format_name = "troupe-transcript";
constexpr std::int64_t format_version = 1;

Error bad(const std::string& message) {
  return {Errc::bad_file, message};
}

Result<std::string> string_field(const json::object& object, std::string_view key, const std::string& where) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return bad(where + "\"" + std::string(key) + "\" is missing");
  const json::string* text = value->if_string();
  if (text == nullptr) return bad(where + "\"" + std::string(key) + "\" is not a string");
  return std::string(text->data(), text->size());
}

Result<ChatMessage> message_of(const json::value& value, std::size_t index) {
  const std::string where = "message " + std::to_string(index + 1) + ": ";
  const json::object* object = value.if_object();
  if (object == nullptr) return bad(where + "not an object");
  TROUPE_TRY(std::string role, string_field(*object, "role", where));
  TROUPE_TRY(std::string content, string_field(*object, "content", where));
  if (role != "user" && role != "assistant") {
    return bad(where + "\"role\" is " + json_quoted(role) + ", not \"user\" or \"assistant\"");
  }
  return ChatMessage{std::move(role), std::move(content)};
}

}  // namespace

std::string transcript_text(const Conversation& conversation, std::string_view model_name) {
  std::string out = "{\n  \"format\": " + json_quoted(format_name) +
                    ",\n  \"version\": " + std::to_string(format_version) +
                    ",\n  \"model\": " + json_quoted(model_name) +
                    ",\n  \"system\": " + json_quoted(conversation.system) + ",\n  \"messages\": [";
  bool first = true;
  for (const ChatMessage& message : conversation.messages) {
    out += first ? "\n" : ",\n";
    first = false;
    out += "    {\"role\": " + json_quoted(message.role) + ", \"content\": " + json_quoted(message.content) +
           "}";
  }
  return out + (first ? "]\n}\n" : "\n  ]\n}\n");
}

Result<Conversation> parse_transcript(std::string_view text) {
  json::error_code error;
  const json::value root = json::parse({text.data(), text.size()}, error);  // nesting is limited to 32
  if (error) return bad("not JSON: " + error.message());
  const json::object* object = root.if_object();
  if (object == nullptr) return bad("not a JSON object");
  TROUPE_TRY(const std::string format, string_field(*object, "format", ""));
  if (format != format_name) {
    return bad("\"format\" is " + json_quoted(format) + ", not " + json_quoted(format_name));
  }
  const json::value* version = object->if_contains("version");
  if (version == nullptr || !version->is_int64() || version->get_int64() != format_version) {
    return bad("\"version\" is not " + std::to_string(format_version));
  }
  Conversation conversation;
  TROUPE_TRY(conversation.system, string_field(*object, "system", ""));
  const json::value* messages = object->if_contains("messages");
  if (messages == nullptr || !messages->is_array()) return bad("\"messages\" is not a list");
  for (const json::value& value : messages->get_array()) {
    TROUPE_TRY(ChatMessage message, message_of(value, conversation.messages.size()));
    conversation.messages.push_back(std::move(message));
  }
  return conversation;
}

Status save_transcript(const std::string& path, const Conversation& conversation,
                       std::string_view model_name) {
  std::error_code ignored;
  const auto there = std::filesystem::status(path, ignored);
  // What is no regular file is not even read: it need not end.
  if (exists(there) && (!is_regular_file(there) || !load_transcript(path))) {
    return Error{Errc::bad_argument, "'" + path + "' exists and is no transcript; choose another name"};
  }
  TROUPE_TRY(AtomicFile file, AtomicFile::create(path));
  TROUPE_TRY_STATUS(file.write(transcript_text(conversation, model_name)));
  return file.commit();
}

Result<Conversation> load_transcript(const std::string& path) {
  TROUPE_TRY(const std::string text, read_text_file(path));
  Result<Conversation> conversation = parse_transcript(text);
  if (!conversation) return bad("'" + path + "' is no transcript: " + conversation.error().message);
  return conversation;
}

}  // namespace troupe::tools
