#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "troupe/error.hpp"

namespace troupe::train {

struct Progress;

/// One line per step: step, tokens seen, losses, learning rate, gradient norm, tokens per second. Written
/// line by line, so that a plot can follow the run. Not thread-safe.
class CsvLog {
 public:
  /// Opens `path` anew, or with `steps_done` > 0 keeps its header and the lines up to that step. Errors: io.
  static Result<CsvLog> open(const std::filesystem::path& path, std::uint64_t steps_done);

  /// Errors: io.
  Status append(const Progress& progress, std::uint64_t tokens_seen);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  CsvLog(std::filesystem::path path, std::FILE* file) : path_(std::move(path)), file_(file) {}
  Error failed() const;

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace troupe::train
