#include "tools/chat_history.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "tools/terminal.hpp"

namespace troupe::tools {
namespace {

constexpr int history_lines_max = 1000;

/// A file that no other chat reads or writes meanwhile; where locks are not known, they may.
class LockedFile {
 public:
  LockedFile(const std::string& path, int flags)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK, 0600)) {
    if (opened()) ::flock(fd_, LOCK_EX);
    if (opened()) ::fstat(fd_, &info_);
  }
  ~LockedFile() {
    if (opened()) ::close(fd_);
  }
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  bool opened() const { return fd_ != -1; }
  bool is_regular() const { return S_ISREG(info_.st_mode); }
  bool is_empty() const { return info_.st_size == 0; }

 private:
  int fd_;
  struct stat info_ {};
};

}  // namespace

HistoryLines make_history_lines() {
  HistoryLines lines(::history_init());
  if (!lines) return lines;
  HistEvent event;
  ::history(lines.get(), &event, H_SETSIZE, history_lines_max);
  ::history(lines.get(), &event, H_SETUNIQUE, 1);
  return lines;
}

void ChatHistory::load(History* lines) const {
  if (path_.empty()) return;
  const LockedFile file(path_, O_RDONLY);
  HistEvent event;
  if (file.is_regular()) ::history(lines, &event, H_LOAD, path_.c_str());
}

void ChatHistory::add(const std::string& line) {
  if (path_.empty()) return;
  const LockedFile file(path_, O_RDWR | O_CREAT);
  if (file.opened() && !file.is_regular()) {  // /dev/null, whose mode libedit would change
    path_.clear();
    return;
  }
  const HistoryLines all = make_history_lines();
  HistEvent event;
  if (file.opened() && all) {
    if (!file.is_empty() && ::history(all.get(), &event, H_LOAD, path_.c_str()) == -1)
      return give_up("'" + path_ + "' is no history of chat's; it is left alone, and the history");
    ::history(all.get(), &event, H_ENTER, line.c_str());
    if (::history(all.get(), &event, H_SAVE, path_.c_str()) != -1) return;
  }
  give_up("the history cannot be written to '" + path_ + "' and");
}

void ChatHistory::give_up(const std::string& reason) {
  say("(" + reason + " ends with this session)\n");
  path_.clear();
}

std::string history_path() {
  namespace fs = std::filesystem;
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  fs::path folder;
  if (state != nullptr && state[0] == '/') {  // the XDG rules: a relative path is invalid
    folder = state;
  } else if (home != nullptr && home[0] == '/') {
    folder = fs::path(home) / ".local" / "state";
  } else {
    return {};
  }
  folder /= "troupe";
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  // Where that is not possible the history cannot be written either, which is said then.
  static_cast<void>(::mkdir(folder.c_str(), 0700));
  return (folder / "history").string();
}

}  // namespace troupe::tools
