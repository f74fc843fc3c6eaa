#pragma once

#include <histedit.h>

#include <memory>
#include <string>

namespace troupe::tools {

struct EndHistory {
  void operator()(History* history) const { ::history_end(history); }
};
using HistoryLines = std::unique_ptr<History, EndHistory>;

/// As many lines as chat keeps, none yet; null when there is no memory.
HistoryLines make_history_lines();

/// The lines that chat offers again, in a file that the chats of a user share: each adds its own, under a
/// lock, and sees those that were there when it began. Used by one thread.
class ChatHistory {
 public:
  /// An empty path: nothing is kept.
  explicit ChatHistory(std::string path) : path_(std::move(path)) {}

  /// Puts the file's lines into `lines`.
  void load(History* lines) const;

  /// Adds a line to the file at once, so that a session that is killed loses nothing. A file that cannot be
  /// written, or that something else has written, is told of once and left alone from then on.
  void add(const std::string& line);

 private:
  void give_up(const std::string& reason);

  std::string path_;
};

/// troupe/history in the folder for state: $XDG_STATE_HOME, or ~/.local/state. Empty without a home. Makes
/// the folder, readable for its owner only, if it can.
std::string history_path();

}  // namespace troupe::tools
