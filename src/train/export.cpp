#include "train/export.hpp"

#include <span>
#include <vector>

#include "formats/gguf_writer.hpp"
#include "kernels/quantize.hpp"

namespace troupe::train {
namespace {

/// The numbering of `general.file_type`.
std::uint64_t file_type(TensorType type) {
  switch (type) {
    case TensorType::f16: return 1;
    case TensorType::q4_0: return 2;
    case TensorType::q8_0: return 7;
    default: return 0;
  }
}

TensorType stored_type(const Parameter& parameter, TensorType wanted) {
  const bool matrix = parameter.dims.size() == 2 && parameter.name != "position_embd.weight";
  if (!matrix || parameter.dims.back() % tensor_type_info(wanted).block_elements != 0) return TensorType::f32;
  return wanted;
}

}  // namespace

Metadata model_metadata(const ModelShape& s, const Metadata& vocabulary, const std::string& name,
                        TensorType type) {
  Metadata m;
  const std::string architecture = s.style == Style::llama ? "llama" : "gpt2";
  const auto key = [&](const char* rest) { return architecture + "." + rest; };
  const auto number = [](std::size_t n) { return static_cast<std::uint64_t>(n); };
  m.insert("general.architecture", architecture);
  m.insert("general.name", name);
  m.insert("general.file_type", file_type(type));
  m.insert("general.quantization_version", std::uint64_t{2});
  m.insert(key("context_length"), number(s.context));
  m.insert(key("embedding_length"), number(s.width));
  m.insert(key("block_count"), number(s.layers));
  m.insert(key("feed_forward_length"), number(s.ffn));
  m.insert(key("attention.head_count"), number(s.heads));
  if (s.style == Style::llama) {
    m.insert(key("attention.head_count_kv"), number(s.kv_heads));
    m.insert(key("attention.layer_norm_rms_epsilon"), static_cast<double>(s.norm_eps));
    m.insert(key("rope.dimension_count"), number(s.head_dim()));
    m.insert(key("rope.freq_base"), static_cast<double>(s.rope_base));
    m.insert(key("vocab_size"), number(s.vocab));
  } else {
    m.insert(key("attention.layer_norm_epsilon"), static_cast<double>(s.norm_eps));
    m.insert(key("gelu_f16"), false);  // trained in f32; ggml's own models round there
  }
  for (const auto& [name_of, value] : vocabulary) m.insert(name_of, value);
  return m;
}

Status export_model(const std::filesystem::path& path, const ModelShape& shape, const ParameterLayout& layout,
                    const float* parameters, const Metadata& vocabulary, const std::string& name,
                    TensorType type) {
  std::vector<std::vector<std::byte>> encoded;
  encoded.reserve(layout.parameters.size());
  std::vector<TensorView> tensors;
  for (const Parameter& p : layout.parameters) {
    const TensorType stored = stored_type(p, type);
    const std::size_t cols = p.dims.back(), row_bytes = encoded_bytes(stored, cols);
    auto& bytes = encoded.emplace_back(p.count / cols * row_bytes);
    for (std::size_t row = 0; row < p.count / cols; ++row)
      encode_row(stored, std::span(parameters + p.offset + row * cols, cols),
                 std::span(bytes).subspan(row * row_bytes, row_bytes));
    tensors.push_back({p.name, stored, p.dims, bytes});
  }
  return write_gguf(path, model_metadata(shape, vocabulary, name, type), tensors);
}

}  // namespace troupe::train
