#pragma once
// The loss of a model in plain double-precision loops, written from the formulas and sharing nothing with the
// trainer but the layout of the parameters: the oracle of gradients.

#include <cmath>
#include <span>
#include <vector>

#include "train/parameters.hpp"
#include "train/shape.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe::test {

class ReferenceModel {
 public:
  using Row = std::vector<double>;

  ReferenceModel(const train::ModelShape& shape, const train::ParameterLayout& layout)
      : s_(shape), layout_(layout) {}

  /// Logits of each position of one window.
  std::vector<Row> logits(const std::vector<double>& p, std::span<const Token> inputs) const {
    const std::size_t time = inputs.size();
    std::vector<Row> x(time, Row(s_.width));
    for (std::size_t t = 0; t < time; ++t)
      for (std::size_t i = 0; i < s_.width; ++i) {
        x[t][i] = p[layout_.embedding + static_cast<std::size_t>(inputs[t]) * s_.width + i];
        if (s_.style == train::Style::gpt2) x[t][i] += p[layout_.positions + t * s_.width + i];
      }
    for (const auto& layer : layout_.layers) block(p, layer, x);
    std::vector<Row> out;
    for (std::size_t t = 0; t < time; ++t)
      out.push_back(multiply(p, layout_.head, s_.vocab, norm(p, layout_.norm, layout_.norm_bias, x[t])));
    return out;
  }

  /// Mean loss of windows of `time` tokens.
  double loss(const std::vector<double>& p, std::span<const Token> inputs, std::span<const Token> targets,
              std::size_t time) const {
    double sum = 0;
    for (std::size_t first = 0; first < inputs.size(); first += time) {
      const auto rows = logits(p, inputs.subspan(first, time));
      for (std::size_t t = 0; t < time; ++t) {
        double total = 0;
        for (const double logit : rows[t]) total += std::exp(logit);
        sum += std::log(total) - rows[t][static_cast<std::size_t>(targets[first + t])];
      }
    }
    return sum / static_cast<double>(inputs.size());
  }

 private:
  static Row multiply(const std::vector<double>& p, std::size_t at, std::size_t rows, const Row& x) {
    Row y(rows, 0);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t i = 0; i < x.size(); ++i) y[r] += p[at + r * x.size() + i] * x[i];
    return y;
  }
  Row linear(const std::vector<double>& p, std::size_t weight, std::size_t bias, std::size_t rows,
             const Row& x) const {
    Row y = multiply(p, weight, rows, x);
    if (s_.has_biases())
      for (std::size_t r = 0; r < rows; ++r) y[r] += p[bias + r];
    return y;
  }
  Row norm(const std::vector<double>& p, std::size_t weight, std::size_t bias, const Row& x) const {
    double mean = 0, squares = 0;
    if (s_.style == train::Style::gpt2) {
      for (const double v : x) mean += v;
      mean /= static_cast<double>(x.size());
    }
    for (const double v : x) squares += (v - mean) * (v - mean);
    const double factor =
        1 / std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(s_.norm_eps));
    Row y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      y[i] = (x[i] - mean) * factor * p[weight + i];
      if (s_.style == train::Style::gpt2) y[i] += p[bias + i];
    }
    return y;
  }
  void turn(double* head, std::size_t position) const {
    for (std::size_t i = 0; i < s_.head_dim(); i += 2) {
      const double angle = static_cast<double>(position) *
                           std::pow(static_cast<double>(s_.rope_base),
                                    -static_cast<double>(i) / static_cast<double>(s_.head_dim()));
      const double a = head[i], b = head[i + 1];
      head[i] = a * std::cos(angle) - b * std::sin(angle);
      head[i + 1] = a * std::sin(angle) + b * std::cos(angle);
    }
  }
  void block(const std::vector<double>& p, const train::LayerOffsets& o, std::vector<Row>& x) const {
    const std::size_t dim = s_.head_dim(), group = s_.heads / s_.kv_heads;
    std::vector<Row> qkv;
    for (std::size_t t = 0; t < x.size(); ++t) {
      qkv.push_back(linear(p, o.qkv, o.qkv_bias, s_.qkv_width(), norm(p, o.norm1, o.norm1_bias, x[t])));
      if (s_.style == train::Style::llama)
        for (std::size_t h = 0; h < s_.heads + s_.kv_heads; ++h) turn(qkv[t].data() + h * dim, t);
    }
    for (std::size_t t = 0; t < x.size(); ++t) {
      Row attended(s_.width, 0);
      for (std::size_t h = 0; h < s_.heads; ++h) {
        const std::size_t k_at = (s_.heads + h / group) * dim, v_at = k_at + s_.kv_width();
        Row weights(t + 1);
        double total = 0;
        for (std::size_t j = 0; j <= t; ++j) {
          double dot = 0;
          for (std::size_t i = 0; i < dim; ++i) dot += qkv[t][h * dim + i] * qkv[j][k_at + i];
          total += weights[j] = std::exp(dot / std::sqrt(static_cast<double>(dim)));
        }
        for (std::size_t j = 0; j <= t; ++j)
          for (std::size_t i = 0; i < dim; ++i)
            attended[h * dim + i] += weights[j] / total * qkv[j][v_at + i];
      }
      const Row added = linear(p, o.out, o.out_bias, s_.width, attended);
      for (std::size_t i = 0; i < s_.width; ++i) x[t][i] += added[i];
    }
    for (Row& row : x) {
      const Row up = linear(p, o.up, o.up_bias, s_.up_width(), norm(p, o.norm2, o.norm2_bias, row));
      Row inner(s_.ffn);
      for (std::size_t i = 0; i < s_.ffn; ++i) {
        if (s_.style == train::Style::llama)
          inner[i] = up[i] / (1 + std::exp(-up[i])) * up[s_.ffn + i];
        else
          inner[i] = 0.5 * up[i] *
                     (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) *
                                    (up[i] + 0.044715 * std::pow(up[i], 3))));
      }
      const Row added = linear(p, o.down, o.down_bias, s_.width, inner);
      for (std::size_t i = 0; i < s_.width; ++i) row[i] += added[i];
    }
  }

  train::ModelShape s_;
  const train::ParameterLayout& layout_;
};

}  // namespace troupe::test
