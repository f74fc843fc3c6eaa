#include "train/state_file.hpp"

#include <bit>
#include <cstring>
#include <span>
#include <vector>

#include "base/try.hpp"
#include "base/utf8.hpp"
#include "formats/gguf_writer.hpp"
#include "formats/open.hpp"

namespace troupe::train {
namespace {

constexpr const char* step_key = "troupe.train.step";
constexpr const char* recipe_key = "troupe.train.recipe";
constexpr const char* checksum_key = "troupe.train.checksum";
constexpr const char* losses_name = "history.losses";
constexpr const char* validation_steps_key = "troupe.train.validation_steps";
constexpr const char* validation_bits_key = "troupe.train.validation_loss_bits";

/// FNV-1a over 32-bit units: finds the accidents that a disk makes.
std::uint64_t checksum(std::uint64_t hash, const float* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    hash = (hash ^ std::bit_cast<std::uint32_t>(values[i])) * 0x100000001B3U;
  return hash;
}

std::uint64_t checksum_of(const ParameterLayout& layout, const float* parameters, const float* means,
                          const float* squares) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const float* values : {parameters, means, squares}) hash = checksum(hash, values, layout.count);
  return hash;
}

Error damaged(const std::filesystem::path& path, const std::string& what) {
  return {Errc::bad_file, in_quotes(path.string()) + " is no usable training state: " + what +
                              "; start again without --resume"};
}

Status read_floats(const std::filesystem::path& path, const Checkpoint& file, const std::string& name,
                   std::size_t count, float* to) {
  const TensorView* tensor = file.find(name);
  if (tensor == nullptr) return damaged(path, "tensor " + in_quotes(name) + " is missing");
  if (tensor->type != TensorType::f32 || tensor->elements() != count)
    return damaged(path, "tensor " + in_quotes(name) + " has " + std::to_string(tensor->elements()) +
                             " elements; expected " + std::to_string(count) + " of F32");
  std::memcpy(to, tensor->data.data(), count * sizeof(float));
  return {};
}

Status read_history(const std::filesystem::path& path, const Checkpoint& file, RunState& state) {
  const TensorView* losses = file.find(losses_name);
  if ((losses == nullptr ? 0 : losses->elements()) != state.step)
    return damaged(path, "its history has not one loss per step");
  state.history.losses.resize(static_cast<std::size_t>(state.step));
  if (losses != nullptr)
    TROUPE_TRY_STATUS(
        read_floats(path, file, losses_name, state.history.losses.size(), state.history.losses.data()));
  TROUPE_TRY(const auto steps, file.metadata.get_i64s(validation_steps_key));
  TROUPE_TRY(const auto bits, file.metadata.get_i64s(validation_bits_key));
  if (!steps || !bits || steps->size() != bits->size())
    return damaged(path, "its validation losses are missing or incomplete");
  for (std::size_t i = 0; i < steps->size(); ++i)
    state.history.validations.push_back(
        {static_cast<std::uint64_t>((*steps)[i]), std::bit_cast<double>((*bits)[i])});
  return {};
}

}  // namespace

Status write_state(const std::filesystem::path& path, const RunState& state, const Metadata& vocabulary,
                   const ParameterLayout& layout, const float* parameters, const float* means,
                   const float* squares) {
  Metadata m;
  m.insert("general.architecture", "troupe-training-state");
  m.insert(step_key, state.step);
  m.insert(recipe_key, state.recipe);
  m.insert(checksum_key, checksum_of(layout, parameters, means, squares));
  std::vector<std::int64_t> steps, bits;
  for (const ValidationPoint& p : state.history.validations) {
    steps.push_back(static_cast<std::int64_t>(p.step));
    bits.push_back(std::bit_cast<std::int64_t>(p.loss));
  }
  m.insert(validation_steps_key, std::move(steps));
  m.insert(validation_bits_key, std::move(bits));
  for (const auto& [key, value] : vocabulary) m.insert(key, value);

  std::vector<TensorView> tensors;
  const auto add = [&](std::string name, std::vector<std::uint64_t> dims, const float* values,
                       std::size_t count) {
    tensors.push_back(
        {std::move(name), TensorType::f32, std::move(dims), std::as_bytes(std::span(values, count))});
  };
  for (const Parameter& p : layout.parameters) add(p.name, p.dims, parameters + p.offset, p.count);
  for (const Parameter& p : layout.parameters) add(p.name + ".mean", p.dims, means + p.offset, p.count);
  for (const Parameter& p : layout.parameters) add(p.name + ".square", p.dims, squares + p.offset, p.count);
  const auto& losses = state.history.losses;
  if (!losses.empty()) add(losses_name, {losses.size()}, losses.data(), losses.size());
  return write_gguf(path, m, tensors);
}

Result<RunState> read_state(const std::filesystem::path& path, const std::string& recipe,
                            const ParameterLayout& layout, float* parameters, float* means, float* squares) {
  TROUPE_TRY(const Checkpoint file, open_checkpoint(path));
  RunState state;
  TROUPE_TRY(const auto found, file.metadata.get_string(recipe_key));
  if (!found) return damaged(path, "it has no " + std::string(recipe_key));
  if (*found != recipe) {
    return Error{Errc::bad_argument, in_quotes(path.string()) + " was made with other settings (" +
                                         printable(*found, 400) + ") than these (" + printable(recipe, 400) +
                                         "); give the same or leave out --resume"};
  }
  state.recipe = recipe;
  TROUPE_TRY(state.step, file.metadata.need_u64(step_key));
  TROUPE_TRY_STATUS(read_history(path, file, state));
  for (const Parameter& p : layout.parameters) {
    TROUPE_TRY_STATUS(read_floats(path, file, p.name, p.count, parameters + p.offset));
    TROUPE_TRY_STATUS(read_floats(path, file, p.name + ".mean", p.count, means + p.offset));
    TROUPE_TRY_STATUS(read_floats(path, file, p.name + ".square", p.count, squares + p.offset));
  }
  TROUPE_TRY(const auto sum, file.metadata.need_u64(checksum_key));
  if (sum != checksum_of(layout, parameters, means, squares))
    return damaged(path, "its checksum does not fit its contents");
  return state;
}

}  // namespace troupe::train
