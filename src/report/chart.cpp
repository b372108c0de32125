#include "chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "axis.hpp"
#include "html.hpp"
#include "simclr/core/check.hpp"
#include "thinning.hpp"

namespace simclr {
namespace {

/// Units of the drawing. It is as wide as a phone's screen, so that letters stay readable there.
constexpr double kWidth = 480, kHeight = 250;
constexpr double kLeft = 50, kRight = 12, kTop = 10, kBottom = 40;
constexpr double kPlotWidth = kWidth - kLeft - kRight;
constexpr double kPlotHeight = kHeight - kTop - kBottom;
constexpr int kXLabels = 5, kYLabels = 5;
/// Curves of so few points show them as dots: a single one would not be seen otherwise.
constexpr std::size_t kMostDots = 24;

/// Where values stand in the drawing.
struct Frame {
  Axis x, y;
  [[nodiscard]] double left(double step) const { return kLeft + kPlotWidth * x.place(step); }
  [[nodiscard]] double top(double value) const { return kTop + kPlotHeight * (1 - y.place(value)); }
};

/// Layers are cut off above so many times their usual height, so that the slow first step does not
/// flatten all others.
constexpr double kMostTimesUsual = 3;

/// A height that few steps exceed.
double usual_height(std::vector<double> heights) {
  const auto at = heights.begin() + static_cast<std::ptrdiff_t>(heights.size() * 9 / 10);
  std::ranges::nth_element(heights, at);
  return *at;
}

/// The series as drawn: where they are stacked, each holds its sum with those below it.
std::vector<std::vector<double>> drawn_values(const Chart& chart) {
  std::vector<std::vector<double>> drawn;
  for (const Series& s : chart.series) {
    require(s.y.size() == chart.steps.size(), "every step has a value of " + s.name);
    drawn.push_back(s.y);
    if (!chart.stacked || drawn.size() == 1) continue;
    const std::vector<double>& below = drawn[drawn.size() - 2];
    for (std::size_t i = 0; i < below.size(); ++i) drawn.back()[i] += below[i];
  }
  if (chart.stacked) {
    const double most = kMostTimesUsual * usual_height(drawn.back());
    for (auto& values : drawn) {
      for (double& value : values) value = std::min(value, most);
    }
  }
  return drawn;
}

Frame make_frame(const Chart& chart, const std::vector<std::vector<double>>& drawn) {
  double least = chart.from_zero || chart.stacked ? 0 : std::numeric_limits<double>::infinity();
  double greatest = -std::numeric_limits<double>::infinity();
  const auto include = [&](double value) {
    least = std::min(least, value);
    greatest = std::max(greatest, value);
  };
  for (const auto& values : drawn) std::ranges::for_each(values, include);
  for (const Chart::Level& level : chart.levels) include(level.value);
  return {make_axis(chart.steps.front(), chart.steps.back(), Ends::exact, kXLabels),
          make_axis(least, greatest, Ends::round, kYLabels)};
}

std::string grid(const Frame& frame) {
  std::string svg;
  for (const double value : frame.y.ticks) {
    const double y = frame.top(value);
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
        kLeft, kLeft + kPlotWidth, y, y, kLeft - 6, y + 4, label_text(value));
  }
  for (const double step : frame.x.ticks) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                       frame.left(step), kTop + kPlotHeight + 18, label_text(step));
  }
  return svg + fmt::format(
                   "<text class=\"axis\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">step"
                   "</text>\n",
                   kLeft + kPlotWidth / 2, kHeight - 4);
}

std::string path_data(const Chart& chart, const std::vector<double>& values, const Frame& frame,
                      const std::vector<std::size_t>& shown) {
  std::string data;
  for (const std::size_t i : shown) {
    data += fmt::format("{}{:.2f},{:.2f}", data.empty() ? "M" : " ", frame.left(chart.steps[i]),
                        frame.top(values[i]));
  }
  return data;
}

std::string curves(const Chart& chart, const std::vector<std::vector<double>>& drawn,
                   const Frame& frame) {
  std::string svg;
  for (std::size_t s = 0; s < drawn.size(); ++s) {
    const std::vector<std::size_t> shown = thin(drawn[s], kMostPoints);
    svg += fmt::format("<path class=\"curve s{}\" d=\"{}\"/>\n", s,
                       path_data(chart, drawn[s], frame, shown));
    if (shown.size() > kMostDots) continue;
    for (const std::size_t i : shown) {
      svg += fmt::format(R"(<circle class="s{}" cx="{:.2f}" cy="{:.2f}" r="2.5"/>)", s,
                         frame.left(chart.steps[i]), frame.top(drawn[s][i]));
    }
    svg += "\n";
  }
  return svg;
}

/// The highest layer is drawn first and the others over it, each down to zero.
std::string layers(const Chart& chart, const std::vector<std::vector<double>>& drawn,
                   const Frame& frame) {
  std::string svg;
  const std::vector<std::size_t> shown = thin(drawn.back(), kMostPoints);
  const double last = frame.left(chart.steps.back());
  for (std::size_t s = drawn.size(); s-- > 0;) {
    // A single step has no width; a line shows it.
    svg += fmt::format("<path class=\"layer s{}\" d=\"{} {:.2f},{:.2f} {:.2f},{:.2f}Z\"/>\n", s,
                       path_data(chart, drawn[s], frame, shown), last, frame.top(0),
                       frame.left(chart.steps.front()), frame.top(0));
  }
  return svg;
}

std::string lines(const Chart& chart, const Frame& frame) {
  std::string svg;
  for (const Chart::Mark& mark : chart.marks) {
    const double x = frame.left(mark.step);
    svg += fmt::format(
        "<line class=\"mark\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\">"
        "<title>{3}</title></line>\n",
        x, kTop, kTop + kPlotHeight, escape(mark.name));
  }
  for (const Chart::Level& level : chart.levels) {
    const double y = frame.top(level.value);
    svg += fmt::format(
        "<line class=\"level\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
        "<text class=\"level\" x=\"{1:.1f}\" y=\"{3:.1f}\" text-anchor=\"end\">{4}</text>\n",
        kLeft, kLeft + kPlotWidth, y, y + (y < kTop + 20 ? 14 : -5), escape(level.name));
  }
  return svg;
}

std::string with_unit(const std::string& number, const std::string& unit) {
  return unit.empty() ? number : number + " " + unit;
}

/// Invisible strips over the drawing that say the values below them.
std::string tips(const Chart& chart, const Frame& frame) {
  const std::vector<std::size_t> shown = thin(chart.series.front().y, kMostTips);
  std::string svg;
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const auto x = [&](std::size_t at) { return frame.left(chart.steps[shown[at]]); };
    const double begin = i == 0 ? kLeft : (x(i - 1) + x(i)) / 2;
    const double end = i + 1 == shown.size() ? kLeft + kPlotWidth : (x(i) + x(i + 1)) / 2;
    std::string text = "step " + exact_text(chart.steps[shown[i]]);
    for (const Series& s : chart.series) {
      text += "\n" + s.name + " " + with_unit(exact_text(s.y[shown[i]]), chart.unit);
    }
    svg += fmt::format(
        "<rect class=\"tip\" x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.1f}\">"
        "<title>{}</title></rect>\n",
        begin, kTop, end - begin, kPlotHeight, escape(text));
  }
  return svg;
}

/// Also for those who do not see the drawing.
std::string summary(const Chart& chart) {
  const auto number = [&](double value) {
    return with_unit(fmt::format("{:.4g}", value), chart.unit);
  };
  std::string text = fmt::format("Steps {} to {}.", exact_text(chart.steps.front()),
                                 exact_text(chart.steps.back()));
  if (chart.stacked) text += " In the end:";
  for (const Series& s : chart.series) {
    const auto [least, greatest] = std::ranges::minmax(s.y);
    const std::string last = number(s.y.back());
    text += chart.stacked ? fmt::format(" {} {};", s.name, last)
                          : fmt::format(" {}: {} in the end, {} to {}.", s.name, last,
                                        number(least), number(greatest));
  }
  if (chart.stacked) text.back() = '.';
  if (!chart.marks.empty()) text += fmt::format(" Restarts: {}.", chart.marks.size());
  return text;
}

std::string legend(const Chart& chart) {
  if (chart.series.size() < 2) return "";
  std::string html = "<p class=\"legend\">";
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    html += fmt::format("<span><i class=\"s{}\"></i>{}</span> ", s, escape(chart.series[s].name));
  }
  return html + "</p>";
}

}  // namespace

std::string draw(const Chart& chart) {
  require(!chart.steps.empty() && !chart.series.empty(), "a chart has something to show");
  const auto drawn = drawn_values(chart);
  const Frame frame = make_frame(chart, drawn);
  const std::string unit = chart.unit.empty() ? "" : ", " + chart.unit;
  return fmt::format(
      "<figure id=\"{0}\"><figcaption><h3 id=\"{0}-title\">{1}<small>{2}</small></h3>{3}"
      "</figcaption>\n<svg viewBox=\"0 0 {4} {5}\" role=\"img\" aria-labelledby=\"{0}-title\" "
      "aria-describedby=\"{0}-summary\">\n{6}{7}{8}{9}</svg>\n"
      "<p id=\"{0}-summary\" class=\"summary\">{10}</p></figure>\n",
      chart.id, escape(chart.title), escape(unit), legend(chart), kWidth, kHeight, grid(frame),
      chart.stacked ? layers(chart, drawn, frame) : curves(chart, drawn, frame),
      lines(chart, frame), tips(chart, frame), escape(summary(chart)));
}

}  // namespace simclr
