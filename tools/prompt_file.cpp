#include "tools/prompt_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace troupe::tools {
namespace {

Error io_error(const std::string& name) {
  return {Errc::io, "cannot read " + name + ": " + std::strerror(errno)};
}

}  // namespace

PromptLines split_prompts(std::string_view text) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.substr(0, byte_order_mark.size()) == byte_order_mark) text.remove_prefix(byte_order_mark.size());
  PromptLines lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) {
      ++lines.empty_lines;
    } else {
      lines.prompts.emplace_back(line);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

Result<std::string> read_text_file(const std::string& path) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : "'" + path + "'";
  const int fd = standard_input ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd == -1) return io_error(name);
  std::string text;
  Status status;
  while (true) {
    char chunk[65536];
    const ssize_t got = ::read(fd, chunk, sizeof chunk);
    if (got == 0) break;
    if (got < 0) {
      if (errno == EINTR) continue;
      status = io_error(name);
      break;
    }
    text.append(chunk, static_cast<std::size_t>(got));
    if (text.size() > text_file_bytes_max) {
      status = Error{Errc::too_large, name + " has more than " + std::to_string(text_file_bytes_max >> 20U) +
                                          " MiB; split it into smaller files"};
      break;
    }
  }
  if (!standard_input) ::close(fd);
  if (!status) return std::move(status).error();
  return text;
}

}  // namespace troupe::tools
