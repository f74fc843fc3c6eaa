// Stands in for chat.cpp in a build without libedit.

#include "tools/subcommand.hpp"
#include "tools/terminal.hpp"

namespace troupe::tools {

int run_chat(const Arguments&) {
  complain("chat: this build has no line editor; build with libedit (meson option chat=enabled)");
  return exit_failed;
}

}  // namespace troupe::tools
