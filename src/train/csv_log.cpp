#include "train/csv_log.hpp"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>

#include "base/decimal.hpp"
#include "base/utf8.hpp"
#include "train/trainer.hpp"

namespace troupe::train {
namespace {

constexpr const char* header = "step,tokens,loss,validation_loss,learning_rate,gradient_norm,tokens_per_s\n";

/// The lines of an earlier part of the run.
std::string kept_lines(const std::filesystem::path& path, std::uint64_t steps_done) {
  std::ifstream in(path);
  std::string line, out;
  while (std::getline(in, line)) {
    char* end = nullptr;
    const std::uint64_t step = std::strtoull(line.c_str(), &end, 10);
    if (end != line.c_str() && *end == ',' && step <= steps_done) out += line + "\n";
  }
  return out;
}

}  // namespace

Error CsvLog::failed() const {
  return {Errc::io,
          "cannot write " + in_quotes(path_.string()) + ": " + std::generic_category().message(errno)};
}

Result<CsvLog> CsvLog::open(const std::filesystem::path& path, std::uint64_t steps_done) {
  const std::string kept = steps_done > 0 ? kept_lines(path, steps_done) : std::string();
  CsvLog log(path, std::fopen(path.c_str(), "w"));
  if (log.file_ == nullptr || std::fputs((header + kept).c_str(), log.file_.get()) < 0 ||
      std::fflush(log.file_.get()) != 0)
    return log.failed();
  return log;
}

Status CsvLog::append(const Progress& p, std::uint64_t tokens_seen) {
  std::string line = std::to_string(p.step) + "," + std::to_string(tokens_seen) + ",";
  line += fixed_decimal(p.loss, 6) + ",";
  if (p.validation) line += fixed_decimal(*p.validation, 6);
  line += "," + short_decimal(p.rate, 8) + "," + short_decimal(p.gradient_norm) + ",";
  line += fixed_decimal(p.tokens_per_s, 0) + "\n";
  if (std::fputs(line.c_str(), file_.get()) < 0 || std::fflush(file_.get()) != 0) return failed();
  return {};
}

}  // namespace troupe::train
