#pragma once
// A trained model as a GGUF file that Troupe and llama.cpp open.

#include <filesystem>
#include <string>

#include "base/tensor_type.hpp"
#include "formats/checkpoint.hpp"
#include "train/parameters.hpp"
#include "troupe/error.hpp"

namespace troupe::train {

/// The metadata of a model: general.*, the architecture's dimensions, and the vocabulary's keys, which are
/// taken over. `name` is general.name.
Metadata model_metadata(const ModelShape& shape, const Metadata& vocabulary, const std::string& name,
                        TensorType type);

/// Writes the model whole or not at all. Matrices are stored as `type` (F32, F16, Q8_0 or Q4_0) where their
/// rows are whole blocks of it, everything else as F32. Positions stay F32. Errors: as write_gguf().
Status export_model(const std::filesystem::path& path, const ModelShape& shape, const ParameterLayout& layout,
                    const float* parameters, const Metadata& vocabulary, const std::string& name,
                    TensorType type);

}  // namespace troupe::train
