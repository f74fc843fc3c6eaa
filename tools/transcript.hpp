#pragma once
// A conversation as a file:
//
//   {
//     "format": "troupe-transcript",
//     "version": 1,
//     "model": "…",               for people; not read back
//     "system": "…",
//     "messages": [
//       {"role": "user", "content": "…"},
//       {"role": "assistant", "content": "…"}
//     ]
//   }

#include <string>
#include <string_view>

#include "tools/conversation.hpp"
#include "troupe/error.hpp"

namespace troupe::tools {

/// The file's text, one message per line.
std::string transcript_text(const Conversation& conversation, std::string_view model_name);

/// Reads such a text, which may come from anywhere. Errors: bad_file, naming the field and what is wrong with
/// it.
Result<Conversation> parse_transcript(std::string_view text);

/// Writes the conversation to `path`, whole or not at all. A file that is there is replaced only if it is a
/// transcript. Errors: io, bad_argument (the file is something else).
Status save_transcript(const std::string& path, const Conversation& conversation,
                       std::string_view model_name);

/// Errors: io, too_large, bad_file; all name the path.
Result<Conversation> load_transcript(const std::string& path);

}  // namespace troupe::tools
