#pragma once
// A model may write anything, and so may the author of a model file: on a terminal, control characters would
// move the cursor, retitle the window or type commands. Here they become harmless and stay visible.

#include <string>
#include <string_view>

namespace troupe::tools {

/// Makes a stream of text safe for a terminal. Newline and tab pass; the other C0 characters and DEL become
/// ^X as `cat -v` writes them, C1 characters <U+009B>, bytes that are no UTF-8 U+FFFD. A character that is
/// cut by a chunk's border is held back until it is whole, so the chunking changes nothing. Not thread-safe.
class VisibleText {
 public:
  /// The safe form of `chunk`, joined to what was held back.
  std::string push(std::string_view chunk);

  /// What is still held back (0..3 bytes), as U+FFFD, when the text ends.
  std::string finish();

 private:
  std::string held_;  // the first bytes of a character
};

/// The safe form of a whole text.
std::string visible(std::string_view text);

}  // namespace troupe::tools
