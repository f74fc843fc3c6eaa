#pragma once
// A model in memory: weights, configuration and vocabulary, immutable from the moment it is opened.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <stop_token>
#include <string>

#include "troupe/chat_template.hpp"
#include "troupe/error.hpp"
#include "troupe/options.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe {

/// What a person asks of a model.
struct ModelInfo {
  std::string name;  ///< general.name, or the file's stem; on one line, valid UTF-8, at most some 120 bytes
  std::string architecture;  ///< "llama", "gpt2", …
  std::string format;        ///< "GGUF v3", "SMND v1", "llama2.c v0"
  std::string weight_types;  ///< the encodings by share of the weights, e.g. "Q4_0, F32"
  std::uint64_t parameters = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t weight_bytes = 0;  ///< in memory
  std::uint32_t vocab_size = 0;
  std::uint32_t context_tokens = 0;  ///< as the file states it
  std::uint32_t layers = 0;
  std::uint32_t width = 0;
  std::string chat_template;  ///< its text: ModelOptions::chat_template, or the file's; empty if none
};

/// Called during loading with the share that is done, from 0 before the file is opened to 1, at most some
/// hundred times, on the loading thread. Returning false gives up: open() then returns Errc::cancelled.
using LoadProgress = std::function<bool(double)>;

struct ModelParts;  // internal: src/model/model_parts.hpp

/// Shared as std::shared_ptr<const Model>: there is no mutable access, so it needs no lock, and one copy
/// serves any number of engines, threads and generators.
class Model {
 public:
  /// Opens a .gguf, SmallMind .smnd or llama2.c .bin file. The file is not trusted. Errors: io, bad_file,
  /// unsupported, bad_argument (options.tokenizer is missing, not wanted or of another model;
  /// options.chat_template does not parse), too_large
  /// (needs more memory than the process may use; the message has the sum), cancelled.
  static Result<std::shared_ptr<const Model>> open(const std::filesystem::path& path,
                                                   const ModelOptions& options = {},
                                                   const LoadProgress& progress = {});

  /// open() on a thread of its own; returns at once. The future gets what open() would have returned.
  ///
  /// Loading is given up, with Errc::cancelled, when `progress` returns false or `cancel` is requested to
  /// stop; both are looked at before the file is opened, then between layers. `progress` is called on the
  /// loading thread; it must not throw, and what it refers to must live until the future is ready. Everything
  /// else is copied.
  ///
  /// The future's destructor waits for the loading thread, as that of std::async does: to let go early,
  /// request the stop first. Errors: those of open(); io when the system has no thread to give.
  static std::future<Result<std::shared_ptr<const Model>>> open_async(std::filesystem::path path,
                                                                      ModelOptions options = {},
                                                                      LoadProgress progress = {},
                                                                      std::stop_token cancel = {});

  explicit Model(std::unique_ptr<const ModelParts> parts);  // internal; use open()
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelInfo& info() const noexcept;
  const Tokenizer& tokenizer() const noexcept;

  /// The prompt that the model's chat template makes of a conversation. Files with a template of their own
  /// for tools
  /// ("tool_use") have it used when there are tools. Errors: unsupported (the model has no template),
  /// bad_file (the file's template does not parse; the model is usable otherwise), and those of
  /// ChatTemplate::render().
  Result<RenderedChat> render_chat(const ChatPrompt& chat) const;

  /// The same as tokens: special tokens are parsed out of the template's own text only, and there is one BOS
  /// in front where the vocabulary adds one. This is what an Engine makes of a ChatPrompt. Errors: also those
  /// of Tokenizer::encode().
  Result<std::vector<Token>> encode_chat(const ChatPrompt& chat) const;

  const ModelParts& parts() const noexcept { return *parts_; }

 private:
  std::unique_ptr<const ModelParts> parts_;
};

}  // namespace troupe
