// Batches depend on neither the cache, the layout of the shards, the threads, the ranks nor the
// first step.

#include "simclr/data/loader.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <memory_resource>
#include <thread>

#include "simclr/core/check.hpp"
#include "support/temporary_directory.hpp"
#include "toy_shards.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kSamples = 103;

struct Case {
  ToyKind kind;
  CacheMode cache;
};

class Loading : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    write_toy_shards(directory_.path(), GetParam().kind, kSamples, 3);
    store_ = open(GetParam().cache);
  }
  std::unique_ptr<SampleStore> open(CacheMode mode) {
    return open_sample_store(directory_.path(), mode, *self_, 2);
  }
  static LoaderConfig config() {
    LoaderConfig config;
    config.augmentation = simclr_augmentation(8);
    config.augmentation.interpolation = Interpolation::bilinear;
    config.seed = 5;
    config.batch_size = 12;
    config.threads = 1;
    config.end_step = 20;  // crosses epochs of 8 steps
    return config;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Communicator> self_ = make_self_communicator();
  std::unique_ptr<SampleStore> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, Loading,
                         testing::Values(Case{ToyKind::fixed, CacheMode::node},
                                         Case{ToyKind::fixed, CacheMode::none},
                                         Case{ToyKind::variable, CacheMode::node},
                                         Case{ToyKind::variable, CacheMode::none},
                                         Case{ToyKind::jpeg, CacheMode::node},
                                         Case{ToyKind::jpeg, CacheMode::none}));

std::vector<ViewBatch> load(SampleStore& store, const LoaderConfig& config) {
  TrainingLoader loader(store, config);
  std::vector<ViewBatch> batches;
  for (std::int64_t s = config.first_step; s < config.end_step; ++s) {
    batches.push_back(loader.next());
  }
  return batches;
}

void expect_same(const ViewBatch& a, const ViewBatch& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.sample_index, b.sample_index);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_TRUE(std::ranges::equal(a.views.values<float>(), b.views.values<float>()));
}

TEST_P(Loading, FetchReturnsTheStoredPixelsInTheRequestedOrder) {
  const std::vector<std::int64_t> samples = {100, 3, 4, 5, 50, 0, 102, 49};
  const auto images = store_->fetch(samples, 0);
  ImageDecoder decoder;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const Image expected = toy_sample(GetParam().kind, samples[i]);
    const ImageRef image = decoder.decode(images[i]);
    ASSERT_EQ(image.height, expected.height);
    ASSERT_EQ(image.width, expected.width);
    int worst = 0;
    for (std::size_t p = 0; p < expected.pixels.size(); ++p) {
      worst = std::max(worst, std::abs(int{image.pixels[p]} - int{expected.pixels[p]}));
    }
    EXPECT_LE(worst, GetParam().kind == ToyKind::jpeg ? 40 : 0) << "sample " << samples[i];
  }
}

TEST_P(Loading, BatchesFollowTheSampler) {
  const auto batches = load(*store_, config());
  Sampler sampler(kSamples, Shuffle::full, 5, 12);
  for (std::size_t s = 0; s < batches.size(); ++s) {
    EXPECT_EQ(batches[s].step, static_cast<std::int64_t>(s));
    EXPECT_EQ(batches[s].epoch, static_cast<std::int64_t>(s) / 8);
    EXPECT_EQ(batches[s].sample_index, sampler.batch(static_cast<std::int64_t>(s)));
    ASSERT_EQ(batches[s].labels.size(), 12u);
    for (std::size_t i = 0; i < 12; ++i) {
      EXPECT_EQ(batches[s].labels[i], batches[s].sample_index[i] % 10);
    }
    ASSERT_EQ(batches[s].views.size(), 2u * 12 * 8 * 8 * 3);
  }
}

TEST_P(Loading, ViewsEqualTheAugmentersOutput) {
  const auto batches = load(*store_, config());
  Augmenter augmenter(config().augmentation);
  ImageDecoder decoder;
  const ViewBatch& batch = batches[9];
  const auto images = store_->fetch(batch.sample_index, 0);
  for (std::size_t i = 0; i < 12; ++i) {
    for (std::uint32_t view = 0; view < 2; ++view) {
      std::vector<float> expected(8 * 8 * 3, NAN);
      augmenter.render(decoder.decode(images[i]),
                       {.seed = 5, .epoch = 1, .sample = batch.sample_index[i], .view = view},
                       buffer_span(std::span(expected)));
      const auto row = batch.views.values<float>().subspan((view * 12 + i) * 192, 192);
      EXPECT_TRUE(std::ranges::equal(expected, row));
    }
  }
}

template <class T>
void expect_rounded(const ViewBatch& batch, const ViewBatch& wide, T (*round)(float)) {
  const auto values = batch.views.values<T>();
  const auto wide_values = wide.views.values<float>();
  ASSERT_EQ(values.size(), wide_values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(values[i].bits, round(wide_values[i]).bits) << "value " << i;
  }
}

TEST_P(Loading, ViewsHaveTheRequestedType) {
  LoaderConfig typed = config();
  typed.end_step = 3;
  const auto wide = load(*store_, typed);
  typed.view_type = DType::bf16;
  const auto brain = load(*store_, typed);
  typed.view_type = DType::f16;
  const auto half = load(*store_, typed);
  for (std::size_t s = 0; s < wide.size(); ++s) {
    EXPECT_EQ(brain[s].sample_index, wide[s].sample_index);
    EXPECT_EQ(brain[s].views.span().bytes(), wide[s].views.span().bytes() / 2);
    expect_rounded<bf16>(brain[s], wide[s], to_bf16);
    expect_rounded<f16>(half[s], wide[s], to_f16);
  }
}

TEST_P(Loading, ViewsAndLabelsUseTheGivenMemoryResource) {
  class Counting final : public std::pmr::memory_resource {
   public:
    [[nodiscard]] bool holds(ConstBufferSpan values) const {
      const auto* at = static_cast<const std::byte*>(values.data);
      return std::ranges::any_of(blocks_, [&](const auto& block) {
        return block.first <= at && at + values.bytes() <= block.first + block.second;
      });
    }

   private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
      void* data = std::pmr::new_delete_resource()->allocate(bytes, alignment);
      blocks_[static_cast<std::byte*>(data)] = bytes;
      return data;
    }
    void do_deallocate(void* data, std::size_t bytes, std::size_t alignment) override {
      blocks_.erase(static_cast<std::byte*>(data));
      std::pmr::new_delete_resource()->deallocate(data, bytes, alignment);
    }
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
      return this == &other;
    }
    std::map<const std::byte*, std::size_t> blocks_;
  };
  Counting memory;
  LoaderConfig placed = config();
  placed.memory = &memory;
  placed.end_step = 3;
  TrainingLoader loader(*store_, placed);
  for (int step = 0; step < 3; ++step) {
    const ViewBatch& batch = loader.next();
    EXPECT_TRUE(memory.holds(batch.views.span()));
    EXPECT_TRUE(memory.holds(const_buffer_span(std::span<const std::int32_t>(batch.labels))));
  }
}

TEST_P(Loading, GivesTheSameBitsForAnyThreadsAndCache) {
  const auto one = load(*store_, config());
  LoaderConfig many = config();
  many.threads = 5;
  const auto five = load(*store_, many);
  const auto other = open(GetParam().cache == CacheMode::node ? CacheMode::none : CacheMode::node);
  const auto uncached = load(*other, many);
  for (std::size_t s = 0; s < one.size(); ++s) {
    expect_same(one[s], five[s]);
    expect_same(one[s], uncached[s]);
  }
}

TEST_P(Loading, RanksShareTheGlobalBatch) {
  const auto whole = load(*store_, config());
  for (int rank = 0; rank < 3; ++rank) {
    LoaderConfig part = config();
    part.rank = rank;
    part.world_size = 3;
    const auto batches = load(*store_, part);
    for (std::size_t s = 0; s < whole.size(); ++s) {
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t global = static_cast<std::size_t>(rank) * 4 + i;
        EXPECT_EQ(batches[s].sample_index[i], whole[s].sample_index[global]);
        for (std::size_t view = 0; view < 2; ++view) {
          const auto mine = batches[s].views.values<float>().subspan((view * 4 + i) * 192, 192);
          const auto all = whole[s].views.values<float>().subspan((view * 12 + global) * 192, 192);
          EXPECT_TRUE(std::ranges::equal(mine, all));
        }
      }
    }
  }
}

TEST_P(Loading, StartsAtAnyStep) {
  const auto whole = load(*store_, config());
  LoaderConfig late = config();
  late.first_step = 7;
  const auto rest = load(*store_, late);
  for (std::size_t s = 0; s < rest.size(); ++s) expect_same(rest[s], whole[s + 7]);
}

TEST_P(Loading, ReturnsToABatch) {
  const auto whole = load(*store_, config());
  TrainingLoader loader(*store_, config());
  for (int s = 0; s < 9; ++s) loader.next();
  loader.return_to(7);
  for (std::size_t s = 7; s < whole.size(); ++s) expect_same(loader.next(), whole[s]);
  EXPECT_THROW(loader.next(), Error);
  loader.return_to(0);
  expect_same(loader.next(), whole[0]);
}

TEST_P(Loading, StopsCleanlyAtAnyTime) {
  for (int taken = 0; taken < 6; ++taken) {
    LoaderConfig many = config();
    many.threads = 3;
    TrainingLoader loader(*store_, many);
    for (int s = 0; s < taken; ++s) loader.next();
    if (taken % 2 == 1) std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
}

TEST_P(Loading, RefusesABatchAfterTheLastStep) {
  LoaderConfig two = config();
  two.end_step = 2;
  TrainingLoader loader(*store_, two);
  loader.next();
  loader.next();
  EXPECT_THROW(loader.next(), Error);
  EXPECT_GE(loader.take_stall_seconds(), 0.0);
  EXPECT_EQ(loader.take_stall_seconds(), 0.0);
}

TEST_P(Loading, RefusesABatchSizeNotDivisibleByTheRanks) {
  LoaderConfig odd = config();
  odd.world_size = 5;
  EXPECT_THROW(TrainingLoader(*store_, odd), Error);
}

TEST_P(Loading, ReportsTheCostOfReading) {
  store_->take_read_statistics();
  load(*store_, config());
  const ReadStatistics cost = store_->take_read_statistics();
  EXPECT_EQ(cost.bytes_read > 0, GetParam().cache == CacheMode::none);
  EXPECT_EQ(store_->take_read_statistics().bytes_read, 0u);
}

TEST_P(Loading, EvaluationVisitsEverySampleOnceOverTheRanks) {
  Augmenter augmenter({.image_size = 8});
  ImageDecoder decoder;
  std::vector<std::int64_t> seen;
  for (int rank = 0; rank < 4; ++rank) {
    EvaluationLoader loader(
        *store_, {.image_size = 8, .batch_size = 8, .rank = rank, .world_size = 4, .threads = 2});
    EXPECT_EQ(loader.batches(), 4);  // 26 samples at most
    std::int64_t expected = loader.begin_sample();
    std::int64_t batches = 0;
    while (const EvaluationBatch* batch = loader.next()) {
      ++batches;
      const auto images = batch->images.values<float>();
      ASSERT_EQ(images.size(), 8u * 192);
      ASSERT_EQ(batch->labels.size(), static_cast<std::size_t>(batch->count));
      EXPECT_EQ(batch->first_sample, expected);
      for (std::int64_t i = 0; i < batch->count; ++i, ++expected) {
        seen.push_back(batch->first_sample + i);
        EXPECT_EQ(batch->labels[static_cast<std::size_t>(i)], expected % 10);
        std::vector<float> image(192, NAN);
        augmenter.render_evaluation(decoder.decode(store_->fetch({expected}, 7)[0]),
                                    buffer_span(std::span(image)));
        EXPECT_TRUE(std::ranges::equal(image, images.subspan(i * 192, 192)));
      }
      for (std::size_t p = static_cast<std::size_t>(batch->count) * 192; p < 8 * 192; ++p) {
        ASSERT_EQ(images[p], 0.0F);
      }
    }
    EXPECT_EQ(batches, 4);
    EXPECT_EQ(static_cast<std::size_t>(expected), seen.size());
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kSamples));
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(Loader, RethrowsErrorsOfItsThreads) {
  const TemporaryDirectory directory;
  ShardWriter writer(directory.path() / "bad.h5",
                     {.name = "bad", .samples = 3, .encoding = ImageEncoding::jpeg});
  for (int i = 0; i < 3; ++i) {
    auto bytes = encode_jpeg(toy_image(i, 16, 16), 90);
    if (i == 1) bytes.resize(bytes.size() / 2);
    writer.append(bytes, 16, 16, 0);
  }
  writer.complete();
  writer.publish();
  const auto self = make_self_communicator();
  const auto store = open_sample_store(directory.path(), CacheMode::node, *self, 1);
  LoaderConfig config;
  config.augmentation = simclr_augmentation(8);
  config.batch_size = 3;
  config.end_step = 5;
  TrainingLoader loader(*store, config);
  try {
    loader.next();
    FAIL() << "the damaged image was accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("sample 1 of 'bad'"), std::string::npos)
        << error.what();
  }
}

TEST(Loader, ThrowsWhenAShardIsTruncatedWhileInUse) {
  const TemporaryDirectory directory;
  write_toy_shards(directory.path(), ToyKind::fixed, 50, 1);
  const auto self = make_self_communicator();
  const auto store = open_sample_store(directory.path(), CacheMode::none, *self, 1);
  std::filesystem::resize_file(directory.path() / shard_file_name("toy", 0, 1), 5000);
  EXPECT_THROW(store->fetch({49}, 0), Error);
}

}  // namespace
}  // namespace simclr
