#include "tools/bench_report.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/svg_plot.hpp"
#include "tools/json_text.hpp"
#include "tools/number_text.hpp"
#include "tools/text_layout.hpp"

namespace troupe::tools {
namespace {

double per_second(double count, const LoadResult& load) {
  return load.duration_s > 0 ? count / load.duration_s : 0;
}
double requests_per_s(const LoadResult& load) {
  return per_second(static_cast<double>(load.completed_in_time), load);
}
double tokens_per_s(const LoadResult& load) {
  return per_second(static_cast<double>(load.tokens_in_time), load);
}

double key_share(const LoadResult& load, std::size_t key) {
  if (load.tokens_in_time == 0) return 0;
  return static_cast<double>(load.key_tokens_in_time[key]) / static_cast<double>(load.tokens_in_time);
}

// Of one forward pass, and from it to the next.
double step_ms(const LoadResult& load) {
  return load.steps == 0 ? 0 : 1000 * load.step_s / static_cast<double>(load.steps);
}
double between_ms(const LoadResult& load) {
  return load.steps == 0 ? 0 : 1000 * load.between_steps_s / static_cast<double>(load.steps);
}

double mib(std::uint64_t bytes) {
  return static_cast<double>(bytes) / (1024.0 * 1024.0);
}

std::string json_spread(const std::vector<float>& values) {
  const Spread s = spread_of(values);
  const auto number = [](double value) { return fixed_decimals(value, 3); };
  return "{\"min\":" + number(s.min) + ",\"mean\":" + number(s.mean) + ",\"p50\":" + number(s.p50) +
         ",\"p95\":" + number(s.p95) + ",\"p99\":" + number(s.p99) + ",\"max\":" + number(s.max) + "}";
}

std::string json_run(const BenchRun& run) {
  const LoadResult& load = run.load;
  const auto count = [](std::uint64_t value) { return std::to_string(value); };
  std::string out =
      "{\"concurrency\":" + (run.rate_per_s ? "null" : count(run.concurrency)) +
      ",\"rate_per_s\":" + (run.rate_per_s ? fixed_decimals(*run.rate_per_s, 3) : "null") +
      ",\"requests\":" + count(load.offered) + ",\"completed\":" + count(load.completed) +
      ",\"failed\":" + count(load.failed) + ",\"refused\":" + count(load.refused) +
      ",\"cancelled\":" + count(load.cancelled) + ",\"duration_s\":" + fixed_decimals(load.duration_s, 3) +
      ",\"requests_per_s\":" + fixed_decimals(requests_per_s(load), 3) +
      ",\"tokens_per_s\":" + fixed_decimals(tokens_per_s(load), 3) +
      ",\"queue_ms\":" + json_spread(load.queue_ms) + ",\"ttft_ms\":" + json_spread(load.ttft_ms) +
      ",\"inter_token_ms\":" + json_spread(load.inter_token_ms) + ",\"e2e_ms\":" + json_spread(load.e2e_ms) +
      ",\"refusal_ms\":" + json_spread(load.refusal_ms) + ",\"steps\":{\"count\":" + count(load.steps) +
      ",\"mean_ms\":" + fixed_decimals(step_ms(load), 4) +
      ",\"between_ms\":" + fixed_decimals(between_ms(load), 4) + "},\"evictions\":" + count(load.evictions) +
      ",\"resident_mib\":{\"warm\":" + fixed_decimals(mib(load.resident_bytes_warm), 2) +
      ",\"max\":" + fixed_decimals(mib(load.resident_bytes_max), 2) + "},\"keys\":[";
  for (std::size_t i = 0; i < run.keys.size(); ++i) {
    out += (i == 0 ? "{\"key\":" : ",{\"key\":") + json_quoted(run.keys[i].name) +
           ",\"clients\":" + count(run.keys[i].clients) + ",\"tokens\":" + count(load.key_tokens_in_time[i]) +
           ",\"share\":" + fixed_decimals(key_share(load, i), 4) + "}";
  }
  return out + "]}";
}

std::string padded(std::string text, std::size_t columns) {
  return text.size() < columns ? std::string(columns - text.size(), ' ') + text : text;
}

std::string row(const std::string& name, const std::vector<float>& values) {
  constexpr std::size_t name_columns = 14, number_columns = 11;
  if (values.empty()) return {};
  const Spread s = spread_of(values);
  std::string out = "  " + name + std::string(name_columns - name.size(), ' ');
  for (const double value : {s.min, s.mean, s.p50, s.p95, s.p99, s.max})
    out += padded(fixed_decimals(value, value < 100 ? 3 : 1), number_columns);
  return out + "\n";
}

// ---- the image ----

struct Panel {
  const char* title;
  std::vector<std::pair<const char*, std::vector<PlotPoint>>> curves;
};

constexpr const char* colours[] = {"#1f77b4", "#ff7f0e", "#d62728"};
constexpr double panel_width = 400, panel_height = 260;
constexpr double margin_left = 70, margin_right = 20, margin_top = 50, margin_bottom = 60, title_height = 36;

std::string draw(const Panel& panel, const std::string& x_label, std::size_t place) {
  const double x0 = static_cast<double>(place % 2) * panel_width;
  const double y0 = title_height + static_cast<double>(place / 2) * panel_height;
  PlotRange x{0, 1}, y{0, 1e-3};
  for (const auto& [name, points] : panel.curves) {
    for (const PlotPoint& p : points) {
      x.high = std::max(x.high, 1.05 * p.x);
      y.high = std::max(y.high, 1.1 * p.y);
    }
  }
  SvgPlot plot(
      {x0 + margin_left, x0 + panel_width - margin_right, y0 + margin_top, y0 + panel_height - margin_bottom},
      x, y);
  plot.axes(x_label, "");
  plot.text(x0 + margin_left, y0 + margin_top - 12, "start", panel.title, "font-weight=\"bold\"");
  double legend = x0 + panel_width - margin_right;
  for (std::size_t i = panel.curves.size(); i-- > 0;) {
    const auto& [name, points] = panel.curves[i];
    plot.curve(points, colours[i]);
    plot.dots(points, colours[i]);
    const std::string style = std::string("fill=\"") + colours[i] + "\"";
    plot.text(legend, y0 + margin_top - 12, "end", name, style.c_str());
    legend -= 34;
  }
  return plot.body();
}

}  // namespace

Spread spread_of(std::vector<float> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    const double low = static_cast<double>(values[below]), high = static_cast<double>(values[above]);
    return low + (high - low) * (place - static_cast<double>(below));
  };
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {at(0), sum / static_cast<double>(values.size()), at(0.50), at(0.95), at(0.99), at(1)};
}

std::string bench_run_name(const BenchRun& run) {
  if (run.rate_per_s) return "rate " + short_number(std::round(*run.rate_per_s * 1000) / 1000) + "/s";
  return "concurrency " + std::to_string(run.concurrency);
}

std::string bench_json(const std::vector<BenchRun>& runs) {
  std::string out = "{\"runs\":[";
  for (const BenchRun& run : runs) {
    if (&run != runs.data()) out += ',';
    out += json_run(run);
  }
  return out + "]}\n";
}

std::string bench_text(const BenchRun& run) {
  const LoadResult& load = run.load;
  std::string out = bench_run_name(run);
  out += ": " + std::to_string(load.completed) + " of " + std::to_string(load.offered) + " requests";
  const auto add = [&](std::uint64_t count, const char* what) {
    if (count != 0) out.append(", ").append(std::to_string(count)).append(what);
  };
  add(load.failed, " failed");
  add(load.refused, " refusals");
  add(load.cancelled, " cancelled");
  out.append(" in ").append(fixed_decimals(load.duration_s, 3)).append(" s: ");
  out.append(fixed_decimals(requests_per_s(load), 1)).append(" requests/s, ");
  out.append(fixed_decimals(tokens_per_s(load), 1)).append(" tokens/s\n");
  out += "  ms              " + padded("min", 9);
  for (const char* title : {"mean", "P50", "P95", "P99", "max"}) out += padded(title, 11);
  out.append("\n").append(row("queue", load.queue_ms)).append(row("first token", load.ttft_ms));
  out.append(row("inter-token", load.inter_token_ms)).append(row("whole answer", load.e2e_ms));
  out.append(row("refusal", load.refusal_ms));
  if (run.keys.size() > 1) {
    for (std::size_t i = 0; i < run.keys.size(); ++i) {
      out += "  key " + run.keys[i].name + ", " + std::to_string(run.keys[i].clients) +
             " clients: " + std::to_string(load.key_tokens_in_time[i]) + " tokens, " +
             fixed_decimals(100 * key_share(load, i), 1) + " % of all\n";
    }
  }
  if (load.steps != 0) {
    out += "  steps: " + std::to_string(load.steps) + " of " + fixed_decimals(step_ms(load), 3) +
           " ms on average and " + fixed_decimals(between_ms(load), 3) + " ms between two, " +
           fixed_decimals(100 * load.between_steps_s / (load.between_steps_s + load.step_s), 1) +
           " % of the time\n";
  }
  if (load.evictions != 0)
    out += "  KV cache: full, so that requests made way " + std::to_string(load.evictions) + " times\n";
  if (load.resident_bytes_warm != 0) {
    out += "  memory: " + fixed_decimals(mib(load.resident_bytes_warm), 1) +
           " MiB resident after a quarter of it, at most " + fixed_decimals(mib(load.resident_bytes_max), 1) +
           " MiB after that\n";
  }
  return out;
}

std::string bench_svg(const std::vector<BenchRun>& runs, const std::string& title) {
  const auto open = [](const BenchRun& run) { return run.rate_per_s.has_value(); };
  const bool by_concurrency = std::none_of(runs.begin(), runs.end(), open);
  std::vector<const BenchRun*> order;
  for (const BenchRun& run : runs) order.push_back(&run);
  const auto x_of = [&](const BenchRun& run) {
    if (by_concurrency) return static_cast<double>(run.concurrency);
    return run.rate_per_s ? *run.rate_per_s : requests_per_s(run.load);
  };
  std::sort(order.begin(), order.end(),
            [&](const BenchRun* a, const BenchRun* b) { return x_of(*a) < x_of(*b); });

  std::vector<PlotPoint> throughput;
  for (const BenchRun* run : order) throughput.push_back({x_of(*run), tokens_per_s(run->load)});
  std::vector<Panel> panels = {{"tokens per second", {{"", std::move(throughput)}}}};
  const auto latency = [&](const char* name, std::vector<float> LoadResult::*values) {
    Panel panel{name, {{"P50", {}}, {"P95", {}}, {"P99", {}}}};
    for (const BenchRun* run : order) {
      const Spread s = spread_of(run->load.*values);
      const double percentiles[] = {s.p50, s.p95, s.p99};
      for (std::size_t i = 0; i < 3; ++i) panel.curves[i].second.push_back({x_of(*run), percentiles[i]});
    }
    panels.push_back(std::move(panel));
  };
  latency("first token, ms", &LoadResult::ttft_ms);
  latency("inter-token, ms", &LoadResult::inter_token_ms);
  latency("whole answer, ms", &LoadResult::e2e_ms);

  const double width = 2 * panel_width, height = title_height + 2 * panel_height;
  SvgPlot heading({0, width, 0, title_height}, {}, {});
  heading.text(margin_left, 24, "start", title, "font-size=\"15\" font-weight=\"bold\"");
  std::string body = heading.body();
  for (std::size_t i = 0; i < panels.size(); ++i)
    body += draw(panels[i], by_concurrency ? "concurrent requests" : "requests offered per second", i);
  return svg_image(width, height, body);
}

}  // namespace troupe::tools
