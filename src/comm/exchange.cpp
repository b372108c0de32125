#include "simclr/comm/exchange.hpp"

#include <mpi.h>

#include <algorithm>
#include <exception>

#include "mpi_check.hpp"
#include "mpi_communicator.hpp"

namespace simclr {
namespace {

/// Limit of a piece, since MPI counts its bytes in an int.
constexpr std::size_t kMaxPieceBytes = std::size_t{1} << 30;

/// Describes several pieces of memory as one MPI datatype with absolute addresses.
class PiecesType {
 public:
  template <class Byte>
  explicit PiecesType(const std::vector<std::span<Byte>>& pieces) {
    std::vector<int> lengths;
    std::vector<MPI_Aint> addresses;
    for (std::span<Byte> rest : pieces) {
      while (!rest.empty()) {
        const std::size_t bytes = std::min(rest.size(), kMaxPieceBytes);
        lengths.push_back(static_cast<int>(bytes));
        mpi_check(MPI_Get_address(rest.data(), &addresses.emplace_back()), "MPI_Get_address");
        rest = rest.subspan(bytes);
      }
    }
    mpi_check(MPI_Type_create_hindexed(static_cast<int>(lengths.size()), lengths.data(),
                                       addresses.data(), MPI_BYTE, &type_),
              "MPI_Type_create_hindexed");
    mpi_check(MPI_Type_commit(&type_), "MPI_Type_commit");
  }
  PiecesType(const PiecesType&) = delete;
  PiecesType& operator=(const PiecesType&) = delete;
  ~PiecesType() { MPI_Type_free(&type_); }  // MPI keeps it for messages in flight
  [[nodiscard]] MPI_Datatype get() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

class MpiExchange final : public Exchange {
 public:
  explicit MpiExchange(const MpiCommunicator& world) : uncaught_(std::uncaught_exceptions()) {
    mpi_check(MPI_Comm_dup(world.handle(), &comm_), "MPI_Comm_dup");
    mpi_check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    rank_ = world.rank();
    size_ = world.size();
  }
  MpiExchange(const MpiExchange&) = delete;
  MpiExchange& operator=(const MpiExchange&) = delete;
  ~MpiExchange() override {
    // Freeing is collective, see ~MpiCommunicator.
    if (std::uncaught_exceptions() > uncaught_ || !mpi_is_live() || !idle()) return;
    MPI_Comm_free(&comm_);
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }

  void start(const std::vector<OutgoingMessage>& send,
             const std::vector<IncomingMessage>& receive) override {
    for (const IncomingMessage& message : receive) {
      const PiecesType type(message.pieces);
      mpi_check(MPI_Irecv(MPI_BOTTOM, 1, type.get(), message.rank, kTag, comm_, &new_request()),
                "MPI_Irecv");
    }
    for (const OutgoingMessage& message : send) {
      const PiecesType type(message.pieces);
      mpi_check(MPI_Isend(MPI_BOTTOM, 1, type.get(), message.rank, kTag, comm_, &new_request()),
                "MPI_Isend");
    }
  }

  bool advance() override {
    if (idle()) return true;
    int done = 0;
    mpi_check(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done,
                          MPI_STATUSES_IGNORE),
              "MPI_Testall");
    if (done != 0) requests_.clear();
    return done != 0;
  }

  [[nodiscard]] bool idle() const override { return requests_.empty(); }

 private:
  static constexpr int kTag = 0;

  MPI_Request& new_request() { return requests_.emplace_back(MPI_REQUEST_NULL); }

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  int uncaught_;
  std::vector<MPI_Request> requests_;
};

/// The exchange of a single rank, which has no messages.
class SelfExchange final : public Exchange {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  void start(const std::vector<OutgoingMessage>& send,
             const std::vector<IncomingMessage>& receive) override {
    require(send.empty() && receive.empty(), "a single rank cannot exchange messages");
  }
  bool advance() override { return true; }
  [[nodiscard]] bool idle() const override { return true; }
};

}  // namespace

std::unique_ptr<Exchange> make_exchange(Communicator& world) {
  if (const auto* mpi = dynamic_cast<MpiCommunicator*>(&world)) {
    return std::make_unique<MpiExchange>(*mpi);
  }
  return std::make_unique<SelfExchange>();
}

}  // namespace simclr
