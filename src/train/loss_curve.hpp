#pragma once

#include <string>

#include "train/history.hpp"

namespace troupe::train {

/// The losses as an SVG image: training (smoothed, over at most some hundred points) and validation against
/// steps, with axes and the best validation loss. `title` is shown above. Losses that are not finite are left
/// out.
std::string loss_curve_svg(const History& history, const std::string& title);

}  // namespace troupe::train
