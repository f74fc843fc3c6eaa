#include <algorithm>
#include <map>
#include <system_error>

#include "base/guard.hpp"
#include "base/memory.hpp"
#include "base/try.hpp"
#include "base/utf8.hpp"
#include "formats/open.hpp"
#include "kernels/thread_pool.hpp"
#include "model/model_parts.hpp"
#include "tokenizer/load.hpp"

namespace troupe {
namespace {

std::string mebibytes(std::uint64_t bytes) {
  return std::to_string((bytes + (1U << 20) - 1) >> 20) + " MiB";
}

/// "Q4_0, F32": the encodings, the one with most weights first.
std::string weight_types(const Checkpoint& checkpoint) {
  std::map<std::string, std::uint64_t> counts;
  for (const TensorView& tensor : checkpoint.tensors) {
    counts[std::string(tensor_type_info(tensor.type).name)] += tensor.elements();
  }
  std::vector<std::pair<std::uint64_t, std::string>> order;
  for (const auto& [name, count] : counts) order.emplace_back(count, name);
  std::sort(order.rbegin(), order.rend());
  std::string text;
  for (const auto& [count, name] : order) text += (text.empty() ? "" : ", ") + name;
  return text;
}

Status fits_memory(std::uint64_t needed) {
  const std::uint64_t usable = usable_memory_bytes();
  if (needed <= usable) return {};
  return Error{Errc::too_large,
               "the weights need " + mebibytes(needed) + " of memory, but this process may use only " +
                   mebibytes(usable) + "; use a smaller or more quantized model",
               0};
}

}  // namespace

Result<std::shared_ptr<const Model>> load_model(const Checkpoint& checkpoint, const std::string& name,
                                                const ModelOptions& options, const LoadProgress& progress) {
  auto parts = std::make_unique<ModelParts>();
  TROUPE_TRY(parts->config, read_config(checkpoint));
  TROUPE_TRY(const std::uint64_t bytes, check_weights(checkpoint, parts->config));
  TROUPE_TRY_STATUS(fits_memory(bytes));
  TROUPE_TRY(parts->tokenizer, load_tokenizer(checkpoint));
  if (parts->tokenizer->vocab_size() > parts->config.vocab_size) {
    return Error{Errc::bad_file,
                 "tokenizer.ggml.tokens has " + std::to_string(parts->tokenizer->vocab_size()) +
                     " entries, but token_embd.weight only " + std::to_string(parts->config.vocab_size) +
                     " rows",
                 0};
  }
  TROUPE_TRY(ChatFormat chat,
             ChatFormat::read(checkpoint.metadata, *parts->tokenizer, options.chat_template));
  parts->chat = std::make_unique<const ChatFormat>(std::move(chat));
  ThreadPool pool(options.threads);
  TROUPE_TRY(parts->weights, load_weights(checkpoint, parts->config, pool, progress));

  ModelInfo& info = parts->info;
  TROUPE_TRY(const auto stated_name, checkpoint.metadata.get_string("general.name"));
  info.name = printable(stated_name.value_or(name));  // it goes into metrics, drawings and terminals
  info.architecture = parts->config.architecture.name;
  info.format = checkpoint.format;
  info.weight_types = weight_types(checkpoint);
  for (const TensorView& tensor : checkpoint.tensors) info.parameters += tensor.elements();
  parts->all_f32 = std::all_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                               [](const TensorView& tensor) { return tensor.type == TensorType::f32; });
  info.file_bytes = checkpoint.file_bytes;
  info.weight_bytes = bytes;
  info.vocab_size = parts->config.vocab_size;
  info.context_tokens = parts->config.context_tokens;
  info.layers = parts->config.layers;
  info.width = parts->config.width;
  info.chat_template = parts->chat->source();
  return std::make_shared<const Model>(std::move(parts));
}

Result<std::shared_ptr<const Model>> Model::open(const std::filesystem::path& path,
                                                 const ModelOptions& options, const LoadProgress& progress) {
  if (options.threads > threads_max) {
    return Error{Errc::bad_argument, "threads is " + std::to_string(options.threads) + "; expected 0 to " +
                                         std::to_string(threads_max)};
  }
  return guarded("loading " + in_quotes(path.native()), [&]() -> Result<std::shared_ptr<const Model>> {
    if (progress && !progress(0)) return Error{Errc::cancelled, "loading was cancelled", 0};
    OpenCheckpointOptions open_options;
    open_options.tokenizer = options.tokenizer;
    open_options.vocabulary_optional = options.vocabulary_optional;
    TROUPE_TRY(const Checkpoint checkpoint, open_checkpoint(path, open_options));
    auto model = load_model(checkpoint, path.stem().string(), options, progress);
    if (!model) {
      Error error = std::move(model).error();
      error.message = in_quotes(path.native()) + ": " + error.message;
      return error;
    }
    return model;
  });
}

std::future<Result<std::shared_ptr<const Model>>> Model::open_async(std::filesystem::path path,
                                                                    ModelOptions options,
                                                                    LoadProgress progress,
                                                                    std::stop_token cancel) {
  const LoadProgress goes_on = [progress = std::move(progress), cancel = std::move(cancel)](double share) {
    return (!progress || progress(share)) && !cancel.stop_requested();
  };
  try {
    return std::async(std::launch::async, [path = std::move(path), options = std::move(options), goes_on] {
      return open(path, options, goes_on);
    });
  } catch (const std::system_error& error) {
    std::promise<Result<std::shared_ptr<const Model>>> failed;
    failed.set_value(
        Error{Errc::io, std::string("cannot start a thread to load the model: ") + error.what(), 0});
    return failed.get_future();
  }
}

Model::Model(std::unique_ptr<const ModelParts> parts) : parts_(std::move(parts)) {}
Model::~Model() = default;
const ModelInfo& Model::info() const noexcept {
  return parts_->info;
}
const Tokenizer& Model::tokenizer() const noexcept {
  return *parts_->tokenizer;
}
Result<RenderedChat> Model::render_chat(const ChatPrompt& chat) const {
  return parts_->chat->render(chat);
}
Result<std::vector<Token>> Model::encode_chat(const ChatPrompt& chat) const {
  return parts_->chat->encode(chat);
}

}  // namespace troupe
