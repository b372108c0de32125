#include <fmt/format.h>
#include <nccl.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <thread>
#include <utility>

#include "communication.hpp"
#include "memory.hpp"
#include "simclr/core/log.hpp"

namespace simclr::cuda {

namespace {

constexpr auto kPatienceAtTheEnd = std::chrono::seconds(10);

ncclDataType_t nccl_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return ncclFloat32;
    case DType::f64:
      return ncclFloat64;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f16:
      return ncclFloat16;
    case DType::i32:
      return ncclInt32;
    case DType::u8:
      return ncclUint8;
  }
  fail("unknown type");
}

ncclRedOp_t nccl_operation(Reduction reduction, DType dtype) {
  switch (reduction) {
    case Reduction::sum:
      return ncclSum;
    case Reduction::mean:
      if (dtype == DType::i32 || dtype == DType::u8) {
        fail("the mean of {} over ranks is not supported", name_of(dtype));
      }
      return ncclAvg;
    case Reduction::max:
      return ncclMax;
    case Reduction::min:
      return ncclMin;
  }
  fail("unknown reduction");
}

class NcclCommunicator final : public DeviceCommunicator, private Watched {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> ranks, Lane lane, Device& device);
  ~NcclCommunicator() override;

  [[nodiscard]] cudaStream_t stream() const override { return stream_; }
  [[nodiscard]] bool capturable() const override { return true; }

  void broadcast(BufferSpan buffer, int root) override {
    enqueue(describe("broadcast", buffer), [&] {
      return ncclBroadcast(buffer.data, buffer.data, buffer.bytes(), ncclUint8, root, comm_,
                           stream_);
    });
  }
  void all_reduce(BufferSpan buffer, Reduction reduction) override {
    const ncclRedOp_t operation = nccl_operation(reduction, buffer.dtype);
    enqueue(describe("all-reduce", buffer), [&] {
      return ncclAllReduce(buffer.data, buffer.data, buffer.count, nccl_type(buffer.dtype),
                           operation, comm_, stream_);
    });
  }
  void all_gather(ConstBufferSpan send, BufferSpan receive) override {
    require(receive.bytes() == send.bytes() * static_cast<std::size_t>(size()),
            "all_gather receives one block of every rank");
    enqueue(describe("all-gather", send), [&] {
      return ncclAllGather(send.data, receive.data, send.bytes(), ncclUint8, comm_, stream_);
    });
  }

  // The stream is the background: what is enqueued on it later finds the sum.
  void start_all_reduce(BufferSpan buffer) override { all_reduce(buffer, Reduction::sum); }
  void progress() override {}
  void wait_for_all() override {}

  std::unique_ptr<Communicator> duplicate() override {
    return make_nccl_communicator(ranks_->duplicate(), lane_, device_);
  }

 private:
  [[nodiscard]] std::optional<Failure> failure() override;
  /// Not waited for: NCCL ends its kernels at once, but what it has of captured graphs it gives
  /// back only when these are gone, and an abort may wait for kernels of the next communicator.
  void give_up() noexcept override {
    if (comm_ == nullptr) return;
    std::thread([comm = std::exchange(comm_, nullptr)] { ncclCommAbort(comm); }).detach();
  }

  [[nodiscard]] std::string describe(std::string_view operation, ConstBufferSpan buffer) const {
    return fmt::format("the {} of {} {} on the {} lane (rank {} of {})", operation, buffer.count,
                       name_of(buffer.dtype), lane_ == Lane::compute ? "compute" : "gradients",
                       rank(), size());
  }
  [[nodiscard]] Failure explain(ncclResult_t result) const {
    const std::string last = ncclGetLastError(comm_);
    const std::string advice = nccl_advice(last);
    return {.text = fmt::format("NCCL: {} ({}){}", ncclGetErrorString(result), last, advice),
            .cause = advice.empty() ? Cause::lost_rank : Cause::error};
  }
  /// ncclInProgress while NCCL is still busy with the last call.
  [[nodiscard]] ncclResult_t state() const;
  template <class Call>
  void perform(const std::string& operation, Call&& call);
  template <class Call>
  void enqueue(const std::string& operation, Call&& call) {
    if (comm_ == nullptr) fail("{}: NCCL has been given up before", operation);
    perform(operation, std::forward<Call>(call));
  }
  void set_up();
  [[nodiscard]] bool finalised() const;

  cudaStream_t stream_ = nullptr;
  ncclComm_t comm_ = nullptr;
  int uncaught_ = std::uncaught_exceptions();
};

NcclCommunicator::NcclCommunicator(std::unique_ptr<Communicator> ranks, Lane lane, Device& device)
    : DeviceCommunicator(std::move(ranks), lane, device) {
  set_nccl_environment();
  const bool overlap = !any_rank(*ranks_, !nccl_keeps_host_order());
  stream_ = device.stream(overlap ? lane : Lane::compute);
  if (lane == Lane::gradients) {  // which is set up once a job
    for (const std::string& remark : nccl_remarks(device.properties().driver_version)) {
      log::info("{}", remark);
    }
  }
  device_.watch().add(*this);
  try {
    set_up();
  } catch (...) {
    give_up();
    device_.watch().remove(*this);
    throw;
  }
}

NcclCommunicator::~NcclCommunicator() {
  // To finalise is collective: a rank that unwinds alone would wait for ranks that never come.
  if (std::uncaught_exceptions() == uncaught_ && finalised()) {
    ncclCommDestroy(std::exchange(comm_, nullptr));
  }
  give_up();
  device_.watch().remove(*this);
}

void NcclCommunicator::set_up() {
  ncclUniqueId id{};
  on_root(*ranks_, [&] {
    const ncclResult_t result = ncclGetUniqueId(&id);
    if (result != ncclSuccess) fail("NCCL cannot begin: {}", explain(result).text);
  });
  id = broadcast_value(*ranks_, id);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // the only way in which a call can be given up
  perform(fmt::format("the setting up of rank {} of {}", rank(), size()),
          [&] { return ncclCommInitRankConfig(&comm_, size(), id, rank(), &config); });
}

ncclResult_t NcclCommunicator::state() const {
  ncclResult_t found = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &found);
  return asked == ncclSuccess ? found : asked;
}

std::optional<Failure> NcclCommunicator::failure() {
  if (comm_ == nullptr) return Failure{.text = "NCCL has been given up before"};
  const ncclResult_t found = state();
  if (found == ncclSuccess || found == ncclInProgress) return std::nullopt;
  return explain(found);
}

/// A call may return before its kernel is enqueued; what follows on the stream must come after it.
template <class Call>
void NcclCommunicator::perform(const std::string& operation, Call&& call) {
  device_.watch().enqueued(operation);
  const ncclResult_t result = call();
  if (result == ncclSuccess) return;
  if (result != ncclInProgress) {
    const std::string why = explain(result).text;
    give_up();
    fail("{} failed: {}", operation, why);
  }
  device_.watch().wait_until([this] { return state() != ncclInProgress; });
  if (const auto found = failure()) {
    give_up();
    fail("{} failed: {}", operation, found->text);
  }
}

/// Waits for the other ranks to finish as well, but not for those that have failed.
bool NcclCommunicator::finalised() const {
  if (comm_ == nullptr) return false;
  const ncclResult_t begun = ncclCommFinalize(comm_);
  if (begun != ncclSuccess && begun != ncclInProgress) return false;
  const auto deadline = std::chrono::steady_clock::now() + kPatienceAtTheEnd;
  while (state() == ncclInProgress && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  return state() == ncclSuccess;
}

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> ranks, Lane lane,
                                                     Device& device) {
  return std::make_unique<NcclCommunicator>(std::move(ranks), lane, device);
}

namespace {

/// Kernels of both communicators start in the host's order (from NCCL 2.26 on): communication.cpp
/// says why they must. A kernel waits for the one before to have started, which drivers can do
/// within graphs from CUDA 12.9 on, outside from 12.3; NCCL makes it wait for its end before that.
constexpr const char* kHostOrder = "NCCL_LAUNCH_ORDER_IMPLICIT";
constexpr int kOldestWithHostOrder = 22600;
constexpr int kDriverOrdersStartsInGraphs = 12090;

/// Sums in NVLink's switches (NVLS) come in an order that depends on the driver, on the memory that
/// the process has had before and on the machine, so that restarts would not repeat a run.
constexpr const char* kSwitchSums = "NCCL_NVLS_ENABLE";
/// Buffers of a captured operation are registered with its graph, which changes over how many
/// channels it is spread where switches sum (NVLS, CollNet), and what tuners are told. The steps
/// that a start runs before its graph is captured would sum in another order than replayed ones.
constexpr const char* kGraphRegister = "NCCL_GRAPH_REGISTER";

constexpr std::array<const char*, 2> kOffForExactRestarts{kSwitchSums, kGraphRegister};

std::string_view value_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : "";
}

}  // namespace

void set_nccl_environment() {
  constexpr int kUnlessSet = 0;  // whoever has set it knows better
  setenv(kHostOrder, "1", kUnlessSet);
  for (const char* variable : kOffForExactRestarts) setenv(variable, "0", kUnlessSet);
}

bool nccl_keeps_host_order() {
  int version = 0;
  return ncclGetVersion(&version) == ncclSuccess && version >= kOldestWithHostOrder &&
         value_of(kHostOrder) != "0";
}

std::vector<std::string> nccl_remarks(int driver_version) {
  std::vector<std::string> remarks;
  if (!nccl_keeps_host_order()) {
    remarks.push_back(fmt::format(
        "NCCL before 2.26, or {}=0: gradient sums do not overlap with the backward pass",
        kHostOrder));
  } else if (driver_version < kDriverOrdersStartsInGraphs) {
    remarks.push_back(fmt::format(
        "driver {}.{}: gradient sums and the collectives of ops wait for one another; from 12.9 on "
        "they would run side by side",
        driver_version / 1000, driver_version % 1000 / 10));
  }
  for (const char* variable : kOffForExactRestarts) {
    if (value_of(variable) == "0") continue;
    remarks.push_back(
        fmt::format("{}={}: a restart may not repeat the run bit for bit (0 is the default here)",
                    variable, value_of(variable)));
  }
  return remarks;
}

std::string nccl_advice(std::string_view reason) {
  const auto says = [&](std::string_view part) { return reason.find(part) != reason.npos; };
  if (says("/dev/shm")) {
    return ", which a larger /dev/shm or --cache distributed or none would help";
  }
  if (says("out of memory") || says("Failed to CUDA")) return ", " + describe_free_memory();
  return "";
}

}  // namespace simclr::cuda
