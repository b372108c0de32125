// A part of a data set, such as its labeled samples.

#include <algorithm>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/data/loader.hpp"

namespace simclr {
namespace {

class SubsetStore final : public SampleStore {
 public:
  SubsetStore(std::unique_ptr<SampleStore> store, std::vector<std::int64_t> samples,
              std::vector<std::int64_t> labels)
      : store_(std::move(store)),
        samples_(std::move(samples)),
        labels_(std::move(labels)),
        info_(store_->info()) {
    require(samples_.size() == labels_.size(), "every sample of a subset must have a label");
    info_.samples = info_.labeled_samples = std::ssize(samples_);
  }

  [[nodiscard]] const ShardSetInfo& info() const override { return info_; }
  [[nodiscard]] std::string place_of(std::int64_t sample) const override {
    return store_->place_of(samples_.at(static_cast<std::size_t>(sample)));
  }
  [[nodiscard]] const std::vector<std::int64_t>& labels() const override { return labels_; }
  [[nodiscard]] FetchGroup group() const override { return store_->group(); }
  std::vector<StoredImage> fetch_together(const WantedSamples& wanted, int slot,
                                          const std::stop_token& stop) override {
    WantedSamples of_store = wanted;
    for (std::vector<std::int64_t>& part : of_store) {
      for (std::int64_t& sample : part) sample = samples_.at(static_cast<std::size_t>(sample));
    }
    return store_->fetch_together(of_store, slot, stop);
  }
  std::int64_t fetches_behind() override { return store_->fetches_behind(); }
  [[nodiscard]] int batches_per_fetch(std::int64_t batch_samples) const override {
    return store_->batches_per_fetch(batch_samples);
  }
  ReadStatistics take_read_statistics() override { return store_->take_read_statistics(); }
  [[nodiscard]] std::string description() const override { return store_->description(); }

 private:
  std::unique_ptr<SampleStore> store_;
  std::vector<std::int64_t> samples_, labels_;
  ShardSetInfo info_;
};

}  // namespace

std::unique_ptr<SampleStore> make_subset_store(std::unique_ptr<SampleStore> store,
                                               SampleChoice choice) {
  return std::make_unique<SubsetStore>(std::move(store), std::move(choice.samples),
                                       std::move(choice.labels));
}

}  // namespace simclr
