#include "tools/transcript.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

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

Error io_error(const std::string& doing, const std::string& path) {
  return {Errc::io, "cannot " + doing + " '" + path + "': " + std::strerror(errno)};
}

Status write_file(const std::string& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd == -1) return io_error("write", path);
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const Error error = io_error("write", path);
      ::close(fd);
      ::unlink(path.c_str());
      return error;
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::close(fd) != 0) return io_error("write", path);
  return {};
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
  if (std::filesystem::exists(path, ignored) && !load_transcript(path)) {
    return Error{Errc::bad_argument, "'" + path + "' exists and is no transcript; choose another name"};
  }
  const std::string part = path + ".part" + std::to_string(::getpid());
  TROUPE_TRY_STATUS(write_file(part, transcript_text(conversation, model_name)));
  if (std::rename(part.c_str(), path.c_str()) != 0) {
    const Error error = io_error("write", path);
    ::unlink(part.c_str());
    return error;
  }
  return {};
}

Result<Conversation> load_transcript(const std::string& path) {
  TROUPE_TRY(const std::string text, read_text_file(path));
  Result<Conversation> conversation = parse_transcript(text);
  if (!conversation) return bad("'" + path + "' is no transcript: " + conversation.error().message);
  return conversation;
}

}  // namespace troupe::tools
