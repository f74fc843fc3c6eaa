#include "formats/gguf_shards.hpp"

#include <array>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/try.hpp"
#include "base/utf8.hpp"
#include "formats/gguf.hpp"

namespace troupe {
namespace {

namespace fs = std::filesystem;
using Files = std::vector<std::shared_ptr<const MappedFile>>;

constexpr const char* no_key = "split.no";
constexpr const char* count_key = "split.count";
constexpr const char* tensors_key = "split.tensors.count";
constexpr std::uint64_t shards_max = 99999;  // the names have five digits

std::string num(std::uint64_t n) {
  return std::to_string(n);
}

/// "-00002-of-00003.gguf"
std::string suffix(std::uint64_t no, std::uint64_t count) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "-%05u-of-%05u.gguf", static_cast<unsigned>(no + 1),
                static_cast<unsigned>(count));
  return text.data();
}

/// What a shard says of itself.
struct Split {
  std::uint64_t no = 0;
  std::uint64_t count = 1;
  std::optional<std::uint64_t> tensors;
};

Error bad(const fs::path& path, const std::string& what) {
  return {Errc::bad_file, in_quotes(path.native()) + ": " + what};
}

Result<Split> read_split(const fs::path& path, const Metadata& metadata) {
  Split split;
  const auto number = [&](const char* key) -> Result<std::optional<std::uint64_t>> {
    auto value = metadata.get_u64(key);
    if (!value) return bad(path, value.error().message);
    return value;
  };
  TROUPE_TRY(const auto count, number(count_key));
  TROUPE_TRY(const auto no, number(no_key));
  TROUPE_TRY(split.tensors, number(tensors_key));
  split.count = count.value_or(1);
  split.no = no.value_or(0);
  if (split.count > shards_max) {
    return bad(path, "split.count is " + num(split.count) + "; at most " + num(shards_max) + " is possible");
  }
  if (split.count > 1 && split.no >= split.count) {
    return bad(path, "split.no is " + num(split.no) + ", but split.count only " + num(split.count));
  }
  return split;
}

/// Puts shards together, in order.
class Joiner {
 public:
  explicit Joiner(const Split& split) : split_(split) {}

  Status add(const fs::path& path, Checkpoint shard, std::uint64_t no) {
    TROUPE_TRY(const Split split, read_split(path, shard.metadata));
    if (split.no != no || split.count != split_.count) {
      return bad(path, "by its name it is shard " + num(no + 1) + " of " + num(split_.count) +
                           ", by its keys split.no and split.count shard " + num(split.no + 1) + " of " +
                           num(split.count));
    }
    if (split.tensors != split_.tensors) {
      return bad(path, "split.tensors.count is not that of the other shards: they are not of one model");
    }
    if (no == 0) {
      out_.format = shard.format + ", " + num(split_.count) + " shards";
      for (const auto& [key, value] : shard.metadata) {
        if (key != no_key && key != count_key && key != tensors_key) out_.metadata.insert(key, value);
      }
    }
    const MetadataValue* here = shard.metadata.find("general.architecture");
    const MetadataValue* there = out_.metadata.find("general.architecture");
    if (here != nullptr && there != nullptr && *here != *there) {
      return bad(path, "general.architecture is not that of the first shard: they are not of one model");
    }
    out_.file_bytes += shard.file_bytes;
    out_.files.push_back(path);
    for (TensorView& tensor : shard.tensors) out_.tensors.push_back(std::move(tensor));
    std::string duplicate;
    if (!out_.build_index(duplicate)) {
      return bad(path, "tensor " + in_quotes(duplicate) + " is in an earlier shard, too");
    }
    return {};
  }

  Result<Checkpoint> finish(const fs::path& path) {
    if (split_.tensors && out_.tensors.size() != *split_.tensors) {
      return bad(path, "split.tensors.count is " + num(*split_.tensors) + ", but the " + num(split_.count) +
                           " shards have " + num(out_.tensors.size()) + " tensors");
    }
    return std::move(out_);
  }

 private:
  Split split_;
  Checkpoint out_;
};

Result<Checkpoint> join(const fs::path& path, const Split& split, Files& files, Checkpoint opened) {
  const std::string name = path.filename().native();
  const std::string own = suffix(split.no, split.count);
  if (!name.ends_with(own)) {
    return bad(path, "it is shard " + num(split.no + 1) + " of " + num(split.count) +
                         " of a model, whose name must end in " + own + " for the others to be found");
  }
  const std::string stem = name.substr(0, name.size() - own.size());
  Joiner joiner(split);
  for (std::uint64_t no = 0; no < split.count; ++no) {
    if (no == split.no) {
      TROUPE_TRY_STATUS(joiner.add(path, std::move(opened), no));
      continue;
    }
    const fs::path next = path.parent_path() / (stem + suffix(no, split.count));
    auto file = MappedFile::open(next);
    if (!file) {
      return Error{file.error().code, "shard " + num(no + 1) + " of " + num(split.count) +
                                          " is needed beside the others: " + file.error().message};
    }
    files.push_back(*file);
    TROUPE_TRY(Checkpoint shard, read_gguf_shard((*file)->bytes(), next.native(), *file));
    TROUPE_TRY_STATUS(joiner.add(next, std::move(shard), no));
  }
  return joiner.finish(path);
}

}  // namespace

Result<Checkpoint> open_gguf(const fs::path& path, const std::shared_ptr<const MappedFile>& file) {
  const auto files = std::make_shared<Files>(1, file);
  TROUPE_TRY(Checkpoint checkpoint, read_gguf_shard(file->bytes(), path.native(), file));
  TROUPE_TRY(const Split split, read_split(path, checkpoint.metadata));
  if (split.count > 1) {
    TROUPE_TRY(checkpoint, join(path, split, *files, std::move(checkpoint)));
  }
  checkpoint.storage = files;
  checkpoint.let_go = [files](std::span<const std::byte> bytes) {
    for (const auto& each : *files) each->let_go(bytes);
  };
  return checkpoint;
}

}  // namespace troupe
