#include "train/loss_curve.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "train/decimal.hpp"

namespace troupe::train {
namespace {

constexpr double image_width = 800, image_height = 450;
constexpr double left = 70, right = 780, top = 50, bottom = 400;
constexpr std::size_t points_max = 400;

struct Point {
  double step, loss;
};

/// Means of equal stretches of the training losses.
std::vector<Point> smoothed(const std::vector<float>& losses) {
  std::vector<Point> out;
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

/// A step of 1, 2 or 5 times a power of ten that gives about `wanted` marks.
double mark_distance(double range, int wanted) {
  const double rough = range / wanted, power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (rough <= factor * power) return factor * power;
  return 10 * power;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      default: out += c;
    }
  }
  return out;
}

class Canvas {
 public:
  Canvas(double steps, double low, double high) : steps_(steps), low_(low), high_(high) {}

  double x(double step) const { return left + (right - left) * step / steps_; }
  double y(double loss) const { return bottom - (bottom - top) * (loss - low_) / (high_ - low_); }

  void line(double x1, double y1, double x2, double y2, const char* style) {
    add("<line x1=\"" + at(x1) + "\" y1=\"" + at(y1) + "\" x2=\"" + at(x2) + "\" y2=\"" + at(y2) + "\" " +
        style + "/>");
  }
  void text(double px, double py, const char* anchor, const std::string& words, const char* style = "") {
    add("<text x=\"" + at(px) + "\" y=\"" + at(py) + "\" text-anchor=\"" + anchor + "\" " + style + ">" +
        escaped(words) + "</text>");
  }
  void curve(const std::vector<Point>& points, const char* colour) {
    if (points.empty()) return;
    std::string list;
    for (const Point& p : points) list += (list.empty() ? "" : " ") + at(x(p.step)) + "," + at(y(p.loss));
    add("<polyline fill=\"none\" stroke=\"" + std::string(colour) + "\" stroke-width=\"1.5\" points=\"" +
        list + "\"/>");
  }
  void add(const std::string& element) { body_ += element + "\n"; }
  static std::string at(double value) { return fixed_decimal(value, 1); }
  const std::string& body() const { return body_; }

 private:
  double steps_, low_, high_;
  std::string body_;
};

void draw_axes(Canvas& canvas, double steps, double low, double high) {
  constexpr const char* grid = "stroke=\"#ddd\"";
  const double loss_marks = mark_distance(high - low, 6);
  for (double loss = std::ceil(low / loss_marks) * loss_marks; loss <= high + 1e-9; loss += loss_marks) {
    canvas.line(left, canvas.y(loss), right, canvas.y(loss), grid);
    canvas.text(left - 8, canvas.y(loss) + 4, "end", short_decimal(loss, 4));
  }
  const double step_marks = std::max(1.0, mark_distance(steps, 8));
  for (double step = 0; step <= steps; step += step_marks) {
    canvas.line(canvas.x(step), top, canvas.x(step), bottom, grid);
    canvas.text(canvas.x(step), bottom + 20, "middle", fixed_decimal(step, 0));
  }
  canvas.line(left, bottom, right, bottom, "stroke=\"#333\"");
  canvas.line(left, top, left, bottom, "stroke=\"#333\"");
  canvas.text((left + right) / 2, bottom + 42, "middle", "steps");
  canvas.text(left, top - 8, "end", "loss");
}

}  // namespace

std::string loss_curve_svg(const History& history, const std::string& title) {
  const std::vector<Point> training = smoothed(history.losses);
  std::vector<Point> validation;
  for (const ValidationPoint& p : history.validations)
    if (std::isfinite(p.loss)) validation.push_back({static_cast<double>(p.step), p.loss});

  double steps = std::max<double>(1, static_cast<double>(history.losses.size()));
  double low = 0, high = 1;
  bool any = false;
  const std::vector<Point>* const both[] = {&training, &validation};
  for (const auto* points : both) {
    for (const Point& p : *points) {
      steps = std::max(steps, p.step);
      low = any ? std::min(low, p.loss) : p.loss;
      high = any ? std::max(high, p.loss) : p.loss;
      any = true;
    }
  }
  const double margin = std::max(0.05 * (high - low), 1e-3);
  low -= margin, high += margin;

  Canvas canvas(steps, low, high);
  draw_axes(canvas, steps, low, high);
  canvas.curve(training, "#1f77b4");
  canvas.curve(validation, "#d62728");
  canvas.text(left, 24, "start", title, "font-size=\"15\" font-weight=\"bold\"");
  canvas.text(right, top + 16, "end", "training", "fill=\"#1f77b4\"");
  if (!validation.empty())
    canvas.text(right, top + 34, "end", "validation, best " + fixed_decimal(history.best(), 4),
                "fill=\"#d62728\"");
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + Canvas::at(image_width) + "\" height=\"" +
         Canvas::at(image_height) + "\" font-family=\"sans-serif\" font-size=\"12\">\n" +
         "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n" + canvas.body() + "</svg>\n";
}

}  // namespace troupe::train
