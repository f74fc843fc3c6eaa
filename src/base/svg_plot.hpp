#pragma once
// Diagrams as SVG: linear axes with round marks, curves, words. Pure text; whoever calls places the parts.

#include <string>
#include <vector>

namespace troupe {

struct PlotPoint {
  double x = 0, y = 0;
};

struct PlotRange {
  double low = 0, high = 1;  ///< low < high
};

/// One diagram of an image. Data outside the ranges is drawn outside the axes; NaN and infinity are not
/// allowed.
class SvgPlot {
 public:
  struct Area {  ///< of the image, in pixels, y downwards
    double left, right, top, bottom;
  };

  SvgPlot(Area area, PlotRange x, PlotRange y) : area_(area), x_range_(x), y_range_(y) {}

  double x(double value) const;
  double y(double value) const;

  /// Grid, axes and their marks, at multiples of 1, 2 or 5 times a power of ten; on the x axis whole numbers
  /// only.
  void axes(const std::string& x_label, const std::string& y_label);
  void curve(const std::vector<PlotPoint>& points, const char* colour);
  void dots(const std::vector<PlotPoint>& points, const char* colour);
  /// `anchor` is "start", "middle" or "end"; `style` are further attributes.
  void text(double px, double py, const char* anchor, const std::string& words, const char* style = "");

  const std::string& body() const noexcept { return body_; }

 private:
  void line(double x1, double y1, double x2, double y2, const char* style);

  Area area_;
  PlotRange x_range_, y_range_;
  std::string body_;
};

/// The image around the bodies of its plots.
std::string svg_image(double width, double height, const std::string& body);

}  // namespace troupe
