// What we ask of cuDNN, asked of cuDNN itself: graphs, heuristics, engines and plans need no GPU as
// long as nothing runs. They are made for the H100 that the properties below describe.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "cudnn/convolution.hpp"

namespace simclr::cuda::cudnn {
namespace {

constexpr std::string_view kH100 = R"({
  "deviceName": "NVIDIA H100 80GB HBM3", "deviceVer": 900, "driverVer": 13000, "cudaDeviceId": 0,
  "pciDeviceId": 0, "multiProcessorCount": 132, "warpSize": 32,
  "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
  "regsPerBlock": 65536, "maxRegistersPerSM": 65536, "maxCtasPerSM": 32,
  "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "maxSharedMemoryPerBlock": 49152,
  "maxSharedMemoryPerBlockOptin": 232448, "reservedSharedMemoryPerBlock": 1024,
  "isTccDriver": 0, "supportCoopLaunch": 1, "totalGlobalMem": 85029158912,
  "smClockRateKHz": 1980000, "memClockRateKHz": 2619000, "l2CacheSize": 52428800})";

const Descriptor& h100() {
  static const Descriptor properties = [] {
    Descriptor described(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    check(cudnnBackendSetAttribute(described.get(), CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                   CUDNN_TYPE_CHAR, static_cast<std::int64_t>(kH100.size()),
                                   kH100.data()),
          "describe an H100");
    described.finalize();
    return described;
  }();
  return properties;
}

std::shared_ptr<const ConvolutionGraph> graph_of(const ConvolutionShape& shape) {
  return std::make_shared<const ConvolutionGraph>(shape, Target{.properties = &h100()});
}

/// kernel x kernel, "same" padding.
ConvolutionShape shape_of(ConvolutionKind kind, DType dtype, std::int64_t size, std::int64_t in,
                          std::int64_t out, int kernel, int stride) {
  return {.kind = kind,
          .dtype = dtype,
          .gradient_dtype = dtype,
          .images = 512,
          .height = size,
          .width = size,
          .in_channels = in,
          .out_height = (size - 1) / stride + 1,
          .out_width = (size - 1) / stride + 1,
          .out_channels = out,
          .kernel = kernel,
          .stride = stride,
          .padding = kernel / 2};
}

std::vector<ConvolutionShape> shapes() {
  std::vector<ConvolutionShape> shapes;
  for (const ConvolutionKind kind : {ConvolutionKind::forward, ConvolutionKind::backward_data,
                                     ConvolutionKind::backward_weights}) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      shapes.push_back(shape_of(kind, dtype, 224, 4, 64, 7, 2));   // stem
      shapes.push_back(shape_of(kind, dtype, 32, 8, 64, 3, 1));    // CIFAR's stem
      shapes.push_back(shape_of(kind, dtype, 56, 64, 256, 1, 1));  // bottlenecks
      shapes.push_back(shape_of(kind, dtype, 56, 128, 128, 3, 2));
      shapes.push_back(shape_of(kind, dtype, 7, 2048, 512, 1, 1));
      shapes.push_back(shape_of(kind, dtype, 55, 256, 512, 1, 2));  // odd size, shortcut
    }
  }
  return shapes;
}

std::vector<cudnnBackendNumericalNote_t> notes_of(const EngineConfig& config) {
  constexpr std::size_t kMany = 64;
  const auto engine = config.descriptor.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE,
                                                        CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  return engine.at(0).get_all<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, kMany);
}

bool uses_tensor_cores(const EngineConfig& config) {
  const auto notes = notes_of(config);
  return std::find(notes.begin(), notes.end(), CUDNN_NUMERICAL_NOTE_TENSOR_CORE) != notes.end();
}

TEST(CudnnEngines, EveryShapeHasAdmittedEnginesAndAPlan) {
  for (const ConvolutionShape& shape : shapes()) {
    SCOPED_TRACE(shape.text());
    const auto graph = graph_of(shape);
    auto configs = propose_engine_configs(*graph);
    ASSERT_FALSE(configs.empty());
    int plans = 0;
    for (EngineConfig& config : configs) {
      for (const cudnnBackendNumericalNote_t note : notes_of(config)) {
        EXPECT_TRUE(note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE ||
                    note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP)
            << config.choice.text() << " has note " << note;
      }
      try {
        const EnginePlan plan(graph, std::move(config), nullptr);
        EXPECT_LE(plan.workspace_bytes(), kWorkspaceLimitBytes);
        ++plans;
      } catch (const CudnnError&) {
        continue;  // too much scratch memory, or compiled at run time, which needs a driver
      }
    }
    EXPECT_GE(plans, 1);
    // In 16 bits the likely fastest runs on tensor cores.
    EXPECT_EQ(uses_tensor_cores(propose_engine_configs(*graph)[0]), shape.dtype != DType::f32);
  }
}

TEST(CudnnEngines, ChoicesAreMadeAgainFromTheirText) {
  for (const ConvolutionShape& shape : shapes()) {
    SCOPED_TRACE(shape.text());
    const auto graph = graph_of(shape);
    int compared = 0;
    for (EngineConfig& config : propose_engine_configs(*graph)) {
      const auto choice = EngineChoice::parse(config.choice.text());
      ASSERT_TRUE(choice.has_value()) << config.choice.text();
      std::optional<EnginePlan> proposed;
      try {
        proposed.emplace(graph, std::move(config), nullptr);
      } catch (const CudnnError&) {
        continue;
      }
      const EnginePlan again(graph, make_engine_config(*graph, *choice), nullptr);
      EXPECT_EQ(again.choice(), proposed->choice());
      EXPECT_EQ(again.workspace_bytes(), proposed->workspace_bytes());
      ++compared;
    }
    EXPECT_GE(compared, 1);
  }
}

TEST(CudnnEngines, Tf32IsOffUnlessAllowed) {
  for (ConvolutionShape shape : shapes()) {
    if (shape.dtype != DType::f32) continue;
    SCOPED_TRACE(shape.text());
    const auto exact = graph_of(shape);
    for (const EngineConfig& config : propose_engine_configs(*exact)) {
      EXPECT_FALSE(uses_tensor_cores(config)) << config.choice.text();
    }
    shape.allow_tf32 = true;
    const auto fast = propose_engine_configs(*graph_of(shape));
    const auto with_tensor_cores = std::find_if(fast.begin(), fast.end(), uses_tensor_cores);
    ASSERT_NE(with_tensor_cores, fast.end());
    try {
      make_engine_config(*exact, with_tensor_cores->choice);
      FAIL() << with_tensor_cores->choice.text() << " is admitted";
    } catch (const Error& error) {
      EXPECT_NE(std::string_view(error.what()).find("TF32"), std::string_view::npos)
          << error.what();
    }
  }
}

TEST(CudnnEngines, GradientsInF32OfSixteenBitsHaveAGraph) {
  for (ConvolutionShape shape : shapes()) {
    if (shape.kind != ConvolutionKind::backward_weights || shape.dtype == DType::f32) continue;
    SCOPED_TRACE(shape.text());
    shape.gradient_dtype = DType::f32;
    // Which engines there are only a driver tells: they are compiled.
    EXPECT_NO_THROW(propose_engine_configs(*graph_of(shape)));
  }
}

TEST(CudnnEngines, StatisticsAreTakenAlongInF16) {
  for (ConvolutionShape shape : shapes()) {
    if (shape.kind != ConvolutionKind::forward) continue;
    SCOPED_TRACE(shape.text());
    shape.with_statistics = true;
    const auto graph = graph_of(shape);
    int plans = 0;
    for (EngineConfig& config : propose_engine_configs(*graph)) {
      const EngineChoice choice = config.choice;
      const EnginePlan plan(graph, std::move(config), nullptr);
      const EnginePlan again(graph, make_engine_config(*graph, choice), nullptr);
      EXPECT_EQ(again.workspace_bytes(), plan.workspace_bytes());
      ++plans;
    }
    // The first layer's four channels are too few.
    EXPECT_EQ(plans > 0, shape.dtype == DType::f16 && shape.in_channels % 8 == 0);
  }
}

TEST(CudnnEngines, NamesWhatIsWrong) {
  const auto graph = graph_of(shapes()[0]);
  const auto message = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const std::string no_engine =
      message([&] { make_engine_config(*graph, {.engine = 1'000'000, .knobs = {}}); });
  const auto finalize = fmt::format("finalize descriptor {}: CUDNN_STATUS_NOT_SUPPORTED",
                                    static_cast<int>(CUDNN_BACKEND_ENGINE_DESCRIPTOR));
  EXPECT_TRUE(no_engine.starts_with(finalize)) << no_engine;
  const std::string wrong_type = message(
      [] { Descriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR).set(CUDNN_ATTR_TENSOR_UNIQUE_ID, 1.0F); });
  const auto set = fmt::format("set attribute {} of descriptor {}: CUDNN_STATUS_BAD_PARAM",
                               static_cast<int>(CUDNN_ATTR_TENSOR_UNIQUE_ID),
                               static_cast<int>(CUDNN_BACKEND_TENSOR_DESCRIPTOR));
  EXPECT_TRUE(wrong_type.starts_with(set)) << wrong_type;
}

}  // namespace
}  // namespace simclr::cuda::cudnn
