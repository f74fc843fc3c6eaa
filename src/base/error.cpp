#include "troupe/error.hpp"

namespace troupe {

const char* errc_name(Errc code) noexcept {
  switch (code) {
    case Errc::bad_argument: return "bad_argument";
    case Errc::bad_file: return "bad_file";
    case Errc::unsupported: return "unsupported";
    case Errc::io: return "io";
    case Errc::too_large: return "too_large";
    case Errc::context_exceeded: return "context_exceeded";
    case Errc::queue_full: return "queue_full";
    case Errc::draining: return "draining";
    case Errc::cancelled: return "cancelled";
    case Errc::deadline: return "deadline";
    case Errc::fault: return "fault";
    case Errc::reader_stalled: return "reader_stalled";
  }
  return "unknown";
}

}  // namespace troupe
