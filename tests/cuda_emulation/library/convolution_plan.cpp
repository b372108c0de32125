// Convolutions as nested loops, in the place of cuDNN.

#include "convolution_plan.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "device.hpp"
#include "device_memory.hpp"
#include "layout.hpp"
#include "streams.hpp"

namespace simclr::cuda {

namespace {

template <class T>
double value(const void* from, std::int64_t index) {
  const T stored = static_cast<const T*>(from)[index];
  if constexpr (std::is_same_v<T, float>) {
    return stored;
  } else {
    return to_float(stored);
  }
}
template <class T>
void set(void* to, std::int64_t index, double result) {
  const auto rounded = static_cast<float>(result);
  if constexpr (std::is_same_v<T, float>) {
    static_cast<T*>(to)[index] = rounded;
  } else if constexpr (std::is_same_v<T, bf16>) {
    static_cast<T*>(to)[index] = to_bf16(rounded);
  } else {
    static_cast<T*>(to)[index] = to_f16(rounded);
  }
}

constexpr const char* kLoops = "loops";

class ConvolutionLoops final : public ConvolutionPlan {
 public:
  explicit ConvolutionLoops(const ConvolutionShape& shape) : shape_(shape) {}
  [[nodiscard]] std::size_t workspace_bytes() const override { return 64; }
  [[nodiscard]] std::string choice() const override { return kLoops; }

  void run(const ConvolutionOperands& o, std::span<std::byte> workspace,
           cudaStream_t stream) override {
    require(workspace.size() >= workspace_bytes(), "a convolution has the workspace it asked for");
    emulation::enqueue(stream, [this, o] {
      const emulation::DeviceMemoryIsOpen open;
      with_activation_type(shape_.dtype, [&]<class T>(T) {
        switch (shape_.kind) {
          case ConvolutionKind::forward:
            return forward<T>(o);
          case ConvolutionKind::backward_data:
            return backward_data<T>(o);
          case ConvolutionKind::backward_weights:
            if (shape_.gradient_dtype == DType::f32) return backward_weights<T, float>(o);
            return backward_weights<T, T>(o);
        }
      });
    });
  }

 private:
  /// visit(x pixel or -1, y pixel, filter position) for every tap of every output pixel of an
  /// image.
  template <class Visit>
  void for_each_tap(Visit&& visit) const {
    const ConvolutionShape& s = shape_;
    for (std::int64_t n = 0; n < s.images; ++n) {
      for (std::int64_t p = 0; p < s.out_height; ++p) {
        for (std::int64_t q = 0; q < s.out_width; ++q) {
          for (int r = 0; r < s.kernel; ++r) {
            for (int t = 0; t < s.kernel; ++t) {
              const std::int64_t i = p * s.stride - s.padding + r;
              const std::int64_t j = q * s.stride - s.padding + t;
              if (i < 0 || i >= s.height || j < 0 || j >= s.width) continue;
              visit((n * s.height + i) * s.width + j, (n * s.out_height + p) * s.out_width + q,
                    r * s.kernel + t);
            }
          }
        }
      }
    }
  }
  [[nodiscard]] std::int64_t filter_index(std::int64_t k, int tap, std::int64_t c) const {
    return (k * shape_.kernel * shape_.kernel + tap) * shape_.in_channels + c;
  }

  template <class T>
  void forward(const ConvolutionOperands& o) const {
    const ConvolutionShape& s = shape_;
    std::vector<double> y(
        static_cast<std::size_t>(s.images * s.out_height * s.out_width * s.out_channels));
    for_each_tap([&](std::int64_t from, std::int64_t to, int tap) {
      for (std::int64_t k = 0; k < s.out_channels; ++k) {
        double& sum = y[static_cast<std::size_t>(to * s.out_channels + k)];
        for (std::int64_t c = 0; c < s.in_channels; ++c) {
          sum += value<T>(o.x, from * s.in_channels + c) * value<T>(o.w, filter_index(k, tap, c));
        }
      }
    });
    for (std::size_t i = 0; i < y.size(); ++i) set<T>(o.y, static_cast<std::int64_t>(i), y[i]);
    if (s.with_statistics) sum_up<T>(o);
  }

  /// In f32, one after the other: worse than any tree.
  template <class T>
  void sum_up(const ConvolutionOperands& o) const {
    const std::int64_t channels = shape_.out_channels;
    std::fill_n(o.sums, 2 * channels, 0.0F);
    for (std::int64_t i = 0; i < shape_.images * shape_.out_height * shape_.out_width; ++i) {
      for (std::int64_t k = 0; k < channels; ++k) {
        const auto y = static_cast<float>(value<T>(o.y, i * channels + k));
        o.sums[k] += y;
        o.sums[channels + k] += y * y;
      }
    }
  }

  template <class T>
  void backward_data(const ConvolutionOperands& o) const {
    const ConvolutionShape& s = shape_;
    std::vector<double> x(static_cast<std::size_t>(s.images * s.height * s.width * s.in_channels));
    for_each_tap([&](std::int64_t to, std::int64_t from, int tap) {
      for (std::int64_t k = 0; k < s.out_channels; ++k) {
        const double dy = value<T>(o.y, from * s.out_channels + k);
        for (std::int64_t c = 0; c < s.in_channels; ++c) {
          x[static_cast<std::size_t>(to * s.in_channels + c)] +=
              dy * value<T>(o.w, filter_index(k, tap, c));
        }
      }
    });
    for (std::size_t i = 0; i < x.size(); ++i) set<T>(o.x, static_cast<std::int64_t>(i), x[i]);
  }

  template <class T, class Gradient>
  void backward_weights(const ConvolutionOperands& o) const {
    const ConvolutionShape& s = shape_;
    std::vector<double> w(
        static_cast<std::size_t>(s.out_channels * s.kernel * s.kernel * s.in_channels));
    for_each_tap([&](std::int64_t x, std::int64_t y, int tap) {
      for (std::int64_t k = 0; k < s.out_channels; ++k) {
        const double dy = value<T>(o.y, y * s.out_channels + k);
        for (std::int64_t c = 0; c < s.in_channels; ++c) {
          w[static_cast<std::size_t>(filter_index(k, tap, c))] +=
              dy * value<T>(o.x, x * s.in_channels + c);
        }
      }
    });
    for (std::size_t i = 0; i < w.size(); ++i) {
      set<Gradient>(o.w, static_cast<std::int64_t>(i), w[i]);
    }
  }

  ConvolutionShape shape_;
};

/// SIMCLR_EMULATED_PLANS: "narrow_gradients" (dw in the activations' type only), "no_statistics",
/// "none", or unset. Statistics are taken along in f16 only, as by cuDNN.
bool has_plan(const ConvolutionShape& shape) {
  const char* text = std::getenv("SIMCLR_EMULATED_PLANS");
  const std::string_view plans = text != nullptr ? text : "all";
  if (shape.with_statistics && (shape.dtype != DType::f16 || plans == "no_statistics")) {
    return false;
  }
  return plans != "none" && (plans != "narrow_gradients" || !shape.widens_gradient());
}

float milliseconds_of(const char* variable) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtof(text, nullptr) : 1;
}

/// Everything takes one millisecond, but what is told.
float measured_milliseconds(const ConvolutionShape& shape) {
  if (shape.with_statistics) return milliseconds_of("SIMCLR_EMULATED_WITH_STATISTICS_MS");
  if (shape.gradient_dtype == DType::f32) return 1;
  return milliseconds_of("SIMCLR_EMULATED_NARROW_GRADIENT_MS");
}

}  // namespace

std::unique_ptr<ConvolutionPlan> make_convolution_plan(const ConvolutionShape& shape,
                                                       const std::string& choice,
                                                       Device& /*device*/) {
  if (choice != kLoops || !has_plan(shape)) fail("\"{}\" is not what the emulation has", choice);
  return std::make_unique<ConvolutionLoops>(shape);
}

float measure_statistics_pass(const ConvolutionShape& /*shape*/, Device& /*device*/) {
  return 0.1F;
}

TimedPlan measure_convolution_plans(const ConvolutionShape& shape, Device& /*device*/) {
  if (!has_plan(shape)) return {};
  return {std::make_unique<ConvolutionLoops>(shape), measured_milliseconds(shape)};
}

}  // namespace simclr::cuda
