#pragma once
// Charts as SVG inside an HTML page. Colours come from the page's style (classes s0, s1, ...), so
// that one picture serves light and dark screens.

#include <string>
#include <vector>

namespace simclr {

/// One curve: y over x, ascending in x.
struct Series {
  std::string name;
  std::vector<double> y;
};

struct Chart {
  std::string id;  ///< of the page's element, [a-z-]+
  std::string title;
  std::string unit;           ///< of y, "" for none
  std::vector<double> steps;  ///< x of every series' values
  std::vector<Series> series;
  /// Drawn as layers on top of each other that add up, instead of as curves. Single steps far above
  /// the others are cut off.
  bool stacked = false;
  bool from_zero = false;
  struct Level {
    double value = 0;
    std::string name;
  };
  std::vector<Level> levels;  ///< dashed horizontal lines
  struct Mark {
    double step = 0;
    std::string name;
  };
  std::vector<Mark> marks;  ///< vertical lines
};

/// Most points that a curve keeps, and most places whose values can be pointed at.
inline constexpr std::size_t kMostPoints = 1000;
inline constexpr std::size_t kMostTips = 120;

/// A <figure> with a heading, a legend where there are several curves, the drawing, and a sentence
/// that says what it shows. Needs at least one step.
std::string draw(const Chart& chart);

}  // namespace simclr
