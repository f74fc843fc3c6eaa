#pragma once
// A run that can go on: everything that the next step depends on, in one file.

#include <cstdint>
#include <filesystem>
#include <string>

#include "formats/checkpoint.hpp"
#include "train/history.hpp"
#include "train/parameters.hpp"
#include "troupe/error.hpp"

namespace troupe::train {

/// What a state holds beside the arrays. Windows, dropout masks and initial weights are functions of the seed
/// and the step, so these two are the position of data and random numbers.
struct RunState {
  std::uint64_t step = 0;  ///< steps done
  History history;
  /// What must be the same for the run to be the same, as a line of text: a state with another recipe is
  /// refused.
  std::string recipe;
};

/// Writes a GGUF file with the tensors of the layout thrice (the values, `.mean` and `.square`), F32, the
/// history as tensors, the rest as metadata `troupe.train.*`, and the vocabulary's keys. Whole or not at all.
Status write_state(const std::filesystem::path& path, const RunState& state, const Metadata& vocabulary,
                   const ParameterLayout& layout, const float* parameters, const float* means,
                   const float* squares);

/// Reads it back into arrays of layout.count floats, every bit as it was. Errors: io, bad_file (no state,
/// damaged, other tensors), bad_argument when the recipe is not `recipe`, naming both.
Result<RunState> read_state(const std::filesystem::path& path, const std::string& recipe,
                            const ParameterLayout& layout, float* parameters, float* means, float* squares);

}  // namespace troupe::train
