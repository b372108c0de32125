#include <cstring>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

class SelfCommunicator final : public Communicator {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  void barrier() override {}
  void broadcast(BufferSpan /*buffer*/, int /*root*/) override {}
  void all_reduce(BufferSpan /*buffer*/, Reduction /*reduction*/) override {}
  void all_gather(ConstBufferSpan send, BufferSpan receive) override {
    require(receive.bytes() == send.bytes(),
            "all_gather's receive buffer must hold one block per rank");
    if (send.bytes() > 0) std::memmove(receive.data, send.data, send.bytes());
  }
  void start_all_reduce(BufferSpan /*buffer*/) override {}
  void progress() override {}
  void wait_for_all() override {}
  std::unique_ptr<Communicator> duplicate() override { return make_self_communicator(); }
  std::unique_ptr<Communicator> split(int /*color*/) override { return make_self_communicator(); }
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() {
  return std::make_unique<SelfCommunicator>();
}

}  // namespace simclr
