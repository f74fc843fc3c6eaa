#include "formats/open.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include "base/mapped_file.hpp"
#include "base/try.hpp"
#include "base/utf8.hpp"
#include "formats/gguf.hpp"

namespace troupe {

Result<Checkpoint> open_checkpoint(const std::filesystem::path& path, const OpenCheckpointOptions& options) {
  TROUPE_TRY(const auto file, MappedFile::open(path));
  const std::string_view begin(reinterpret_cast<const char*>(file->bytes().data()),
                               std::min<std::size_t>(file->bytes().size(), 24));
  if (begin.starts_with("GGUF")) return read_gguf(file->bytes(), path.native(), file);
  return Error{Errc::bad_file, in_quotes(path.native()) + " begins with " + in_quotes(begin.substr(0, 8)) +
                                   ", which is no known model format; known are GGUF"};
}

}  // namespace troupe
