#include "base/svg_plot.hpp"

#include <algorithm>
#include <cmath>

#include "base/decimal.hpp"

namespace troupe {
namespace {

std::string at(double value) {
  return fixed_decimal(value, 1);
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

/// A step of 1, 2 or 5 times a power of ten that gives about `wanted` marks.
double mark_distance(double range, int wanted) {
  const double rough = range / wanted, power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (rough <= factor * power) return factor * power;
  return 10 * power;
}

/// The multiples of `distance` within the range.
std::vector<double> marks(PlotRange range, double distance) {
  std::vector<double> out;
  const double slack = distance * 1e-9;
  for (double n = std::ceil((range.low - slack) / distance); n * distance <= range.high + slack; ++n)
    out.push_back(n * distance + 0.0);  // -0 becomes 0
  return out;
}

}  // namespace

double SvgPlot::x(double value) const {
  return area_.left + (area_.right - area_.left) * (value - x_range_.low) / (x_range_.high - x_range_.low);
}

double SvgPlot::y(double value) const {
  return area_.bottom - (area_.bottom - area_.top) * (value - y_range_.low) / (y_range_.high - y_range_.low);
}

void SvgPlot::axes(const std::string& x_label, const std::string& y_label) {
  constexpr const char* grid = "stroke=\"#ddd\"";
  constexpr const char* axis = "stroke=\"#333\"";
  for (const double value : marks(y_range_, mark_distance(y_range_.high - y_range_.low, 6))) {
    line(area_.left, y(value), area_.right, y(value), grid);
    text(area_.left - 8, y(value) + 4, "end",
         std::abs(value) < 1000 ? short_decimal(value, 4) : fixed_decimal(value, 0));
  }
  for (const double value : marks(x_range_, std::max(1.0, mark_distance(x_range_.high - x_range_.low, 8)))) {
    line(x(value), area_.top, x(value), area_.bottom, grid);
    text(x(value), area_.bottom + 20, "middle", fixed_decimal(value, 0));
  }
  line(area_.left, area_.bottom, area_.right, area_.bottom, axis);
  line(area_.left, area_.top, area_.left, area_.bottom, axis);
  text((area_.left + area_.right) / 2, area_.bottom + 42, "middle", x_label);
  text(area_.left, area_.top - 8, "end", y_label);
}

void SvgPlot::curve(const std::vector<PlotPoint>& points, const char* colour) {
  if (points.empty()) return;
  std::string list;
  for (const PlotPoint& p : points) list.append(at(x(p.x))).append(",").append(at(y(p.y))).append(" ");
  list.pop_back();
  body_ += "<polyline fill=\"none\" stroke=\"" + std::string(colour) + "\" stroke-width=\"1.5\" points=\"" +
           list + "\"/>\n";
}

void SvgPlot::dots(const std::vector<PlotPoint>& points, const char* colour) {
  for (const PlotPoint& p : points)
    body_ +=
        "<circle cx=\"" + at(x(p.x)) + "\" cy=\"" + at(y(p.y)) + "\" r=\"3\" fill=\"" + colour + "\"/>\n";
}

void SvgPlot::text(double px, double py, const char* anchor, const std::string& words, const char* style) {
  body_ += "<text x=\"" + at(px) + "\" y=\"" + at(py) + "\" text-anchor=\"" + anchor + "\" " + style + ">" +
           escaped(words) + "</text>\n";
}

void SvgPlot::line(double x1, double y1, double x2, double y2, const char* style) {
  body_ += "<line x1=\"" + at(x1) + "\" y1=\"" + at(y1) + "\" x2=\"" + at(x2) + "\" y2=\"" + at(y2) + "\" " +
           style + "/>\n";
}

std::string svg_image(double width, double height, const std::string& body) {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + at(width) + "\" height=\"" + at(height) +
         "\" font-family=\"sans-serif\" font-size=\"12\">\n" +
         "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n" + body + "</svg>\n";
}

}  // namespace troupe
