#include "train/loss_curve.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "base/decimal.hpp"
#include "base/svg_plot.hpp"

namespace troupe::train {
namespace {

constexpr double image_width = 800, image_height = 450;
constexpr double left = 70, right = 780, top = 50, bottom = 400;
constexpr std::size_t points_max = 400;

/// Means of equal stretches of the training losses.
std::vector<PlotPoint> smoothed(const std::vector<float>& losses) {
  std::vector<PlotPoint> out;
  const std::size_t stretch = std::max<std::size_t>(1, (losses.size() + points_max - 1) / points_max);
  for (std::size_t first = 0; first < losses.size(); first += stretch) {
    const std::size_t end = std::min(losses.size(), first + stretch);
    double sum = 0;
    for (std::size_t i = first; i < end; ++i) sum += static_cast<double>(losses[i]);
    const double mean = sum / static_cast<double>(end - first);
    if (std::isfinite(mean)) out.push_back({static_cast<double>(first + end + 1) / 2, mean});
  }
  return out;
}

}  // namespace

std::string loss_curve_svg(const History& history, const std::string& title) {
  const std::vector<PlotPoint> training = smoothed(history.losses);
  std::vector<PlotPoint> validation;
  for (const ValidationPoint& p : history.validations)
    if (std::isfinite(p.loss)) validation.push_back({static_cast<double>(p.step), p.loss});

  double steps = std::max<double>(1, static_cast<double>(history.losses.size()));
  double low = 0, high = 1;
  bool any = false;
  const std::vector<PlotPoint>* const both[] = {&training, &validation};
  for (const auto* points : both) {
    for (const PlotPoint& p : *points) {
      steps = std::max(steps, p.x);
      low = any ? std::min(low, p.y) : p.y;
      high = any ? std::max(high, p.y) : p.y;
      any = true;
    }
  }
  const double margin = std::max(0.05 * (high - low), 1e-3);
  low -= margin, high += margin;

  SvgPlot plot({left, right, top, bottom}, {0, steps}, {low, high});
  plot.axes("steps", "loss");
  plot.curve(training, "#1f77b4");
  plot.curve(validation, "#d62728");
  plot.text(left, 24, "start", title, "font-size=\"15\" font-weight=\"bold\"");
  plot.text(right, top + 16, "end", "training", "fill=\"#1f77b4\"");
  if (!validation.empty())
    plot.text(right, top + 34, "end", "validation, best " + fixed_decimal(history.best(), 4),
              "fill=\"#d62728\"");
  return svg_image(image_width, image_height, plot.body());
}

}  // namespace troupe::train
