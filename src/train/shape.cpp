#include "train/shape.hpp"

#include <string>

namespace troupe::train {
namespace {

Error bad(std::string message) {
  return {Errc::bad_argument, std::move(message)};
}

// Products of two of these, times the size of a float, stay far inside 64 bits.
constexpr std::size_t dimension_max = 1U << 20;

}  // namespace

Status check_shape(const ModelShape& s) {
  const struct {
    const char* name;
    std::size_t value;
  } dimensions[] = {{"vocabulary", s.vocab}, {"context", s.context}, {"layers", s.layers},
                    {"width", s.width},      {"heads", s.heads},     {"kv-heads", s.kv_heads},
                    {"ffn", s.ffn}};
  for (const auto& d : dimensions) {
    if (d.value == 0 || d.value > dimension_max)
      return bad(std::string(d.name) + " is " + std::to_string(d.value) + "; give 1 to " +
                 std::to_string(dimension_max));
  }
  if (s.width % s.heads != 0)
    return bad("width is " + std::to_string(s.width) + ", no multiple of the " + std::to_string(s.heads) +
               " heads");
  if (s.heads % s.kv_heads != 0)
    return bad("kv-heads is " + std::to_string(s.kv_heads) + ", which does not divide the " +
               std::to_string(s.heads) + " heads");
  if (s.style == Style::gpt2 && s.kv_heads != s.heads)
    return bad("kv-heads is " + std::to_string(s.kv_heads) + "; gpt2 has as many as heads, " +
               std::to_string(s.heads));
  if (s.style == Style::llama && s.head_dim() % 2 != 0)
    return bad("a head has " + std::to_string(s.head_dim()) +
               " elements (width / heads); rotary positions need an even number");
  return {};
}

std::size_t default_ffn(Style style, std::size_t width) {
  if (style == Style::gpt2) return 4 * width;
  return (width * 8 / 3 + 31) / 32 * 32;
}

std::optional<ModelShape> preset_shape(std::string_view name, Style style) {
  ModelShape s;
  s.style = style;
  if (name == "tiny") {
    s.layers = 4, s.width = 128, s.heads = 4, s.context = 128;
  } else if (name == "small") {
    s.layers = 6, s.width = 256, s.heads = 8, s.context = 256;
  } else if (name == "medium") {
    s.layers = 8, s.width = 512, s.heads = 8, s.context = 512;
  } else {
    return std::nullopt;
  }
  s.kv_heads = s.heads;
  s.ffn = default_ffn(style, s.width);
  return s;
}

double training_operations_per_token(const ModelShape& s) {
  const auto d = [](std::size_t n) { return static_cast<double>(n); };
  const double layer = d(s.width) * (d(s.qkv_width()) + d(s.width) + d(s.up_width()) + d(s.ffn));
  // Scores and their use, 2 products of width per visible position; a position sees half the window.
  const double attention = 2 * d(s.width) * (d(s.context) + 1) / 2;
  return 6 * (d(s.layers) * (layer + attention) + d(s.width) * d(s.vocab));
}

}  // namespace troupe::train
