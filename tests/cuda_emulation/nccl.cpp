// NCCL's functions over MPI, on memory of the emulated device.

#include <mpi.h>
#include <nccl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "device_memory.hpp"
#include "simclr/core/bf16.hpp"
#include "simclr/core/f16.hpp"
#include "streams.hpp"

struct ncclComm {
  MPI_Comm ranks = MPI_COMM_NULL;
  int size = 1;
  bool busy = true;
};

namespace {

ncclResult_t injected_error = ncclSuccess;
int collectives_before_hang = -1;
std::string injected_reason;
std::atomic<int> communicators = 0;
std::atomic<bool> aborts_hang = false;

/// What a unique id holds: the root, and a tag by which its members find one another.
struct Meeting {
  int root = 0;
  int tag = 0;
};

/// The root learns who takes part and tells everybody.
MPI_Comm meet(const Meeting& meeting, int ranks, int rank) {
  int world_rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
  std::vector<int> members(static_cast<std::size_t>(ranks));
  if (rank == 0) {
    members[0] = world_rank;
    for (int r = 1; r < ranks; ++r) {
      int entry[2] = {};
      MPI_Recv(entry, 2, MPI_INT, MPI_ANY_SOURCE, meeting.tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      members[static_cast<std::size_t>(entry[0])] = entry[1];
    }
    for (int r = 1; r < ranks; ++r) {
      MPI_Send(members.data(), ranks, MPI_INT, members[static_cast<std::size_t>(r)], meeting.tag,
               MPI_COMM_WORLD);
    }
  } else {
    const int entry[2] = {rank, world_rank};
    MPI_Send(entry, 2, MPI_INT, meeting.root, meeting.tag, MPI_COMM_WORLD);
    MPI_Recv(members.data(), ranks, MPI_INT, meeting.root, meeting.tag, MPI_COMM_WORLD,
             MPI_STATUS_IGNORE);
  }
  MPI_Group world = MPI_GROUP_NULL;
  MPI_Group group = MPI_GROUP_NULL;
  MPI_Comm_group(MPI_COMM_WORLD, &world);
  MPI_Group_incl(world, ranks, members.data(), &group);
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_create_group(MPI_COMM_WORLD, group, meeting.tag, &comm);
  MPI_Group_free(&group);
  MPI_Group_free(&world);
  return comm;
}

std::size_t bytes_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
  }
  return 0;
}

template <class T>
T as(double value) {
  if constexpr (std::is_same_v<T, simclr::bf16>) return simclr::to_bf16(static_cast<float>(value));
  if constexpr (std::is_same_v<T, simclr::f16>) return simclr::to_f16(static_cast<float>(value));
  if constexpr (std::is_arithmetic_v<T>) return static_cast<T>(value);
}
template <class T>
double widened(T value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<double>(value);
  } else {
    return simclr::to_float(value);
  }
}

/// Every rank reduces all blocks in rank order: the same bits everywhere.
template <class T>
void reduce(const std::vector<std::byte>& blocks, void* receive, std::size_t count,
            ncclRedOp_t operation, int ranks) {
  const auto* values = reinterpret_cast<const T*>(blocks.data());
  for (std::size_t i = 0; i < count; ++i) {
    double result = widened(values[i]);
    for (std::size_t r = 1; r < static_cast<std::size_t>(ranks); ++r) {
      const double other = widened(values[r * count + i]);
      if (operation == ncclMax) {
        result = std::max(result, other);
      } else if (operation == ncclMin) {
        result = std::min(result, other);
      } else {
        result += other;
      }
    }
    static_cast<T*>(receive)[i] = as<T>(operation == ncclAvg ? result / ranks : result);
  }
}

void reduce(ncclDataType_t type, const std::vector<std::byte>& blocks, void* receive,
            std::size_t count, ncclRedOp_t operation, int ranks) {
  switch (type) {
    case ncclFloat32:
      return reduce<float>(blocks, receive, count, operation, ranks);
    case ncclFloat64:
      return reduce<double>(blocks, receive, count, operation, ranks);
    case ncclFloat16:
      return reduce<simclr::f16>(blocks, receive, count, operation, ranks);
    case ncclBfloat16:
      return reduce<simclr::bf16>(blocks, receive, count, operation, ranks);
    case ncclInt32:
      return reduce<int>(blocks, receive, count, operation, ranks);
    default:
      return;
  }
}

std::vector<std::byte> gather(const void* send, std::size_t bytes, const ncclComm& comm) {
  std::vector<std::byte> blocks(bytes * static_cast<std::size_t>(comm.size));
  const int count = static_cast<int>(bytes);
  MPI_Allgather(send, count, MPI_BYTE, blocks.data(), count, MPI_BYTE, comm.ranks);
  return blocks;
}

ncclResult_t enqueue(ncclComm_t comm, cudaStream_t stream, emulation::Work work) {
  if (comm->busy) return ncclInvalidUsage;
  emulation::enqueue(stream, [work = std::move(work)] {
    if (collectives_before_hang >= 0 && collectives_before_hang-- == 0) {
      return emulation::stop_streams();
    }
    const emulation::DeviceMemoryIsOpen open;
    work();
  });
  comm->busy = true;
  return ncclInProgress;
}

void destroy(ncclComm_t comm) {
  // Not collective, as NCCL's: the MPI communicator stays behind.
  delete comm;
  --communicators;
}

}  // namespace

namespace emulation {
void fail_nccl(ncclResult_t error, const std::string& reason) {
  injected_error = error;
  injected_reason = reason;
}
void hang_nccl_after(int count) { collectives_before_hang = count; }
int nccl_communicators() { return communicators; }
void hang_nccl_aborts(bool hang) { aborts_hang = hang; }
}  // namespace emulation

ncclResult_t ncclGetVersion(int* version) {
  *version = 22800;
  return ncclSuccess;
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  constexpr int kFirstTag = 1000;
  static int made = 0;
  Meeting meeting{.tag = kFirstTag + made++};
  MPI_Comm_rank(MPI_COMM_WORLD, &meeting.root);
  *id = {};
  std::memcpy(id->internal, &meeting, sizeof meeting);
  return ncclSuccess;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (config->blocking != 0) return ncclInvalidArgument;
  Meeting meeting;
  std::memcpy(&meeting, id.internal, sizeof meeting);
  *comm = new ncclComm{.ranks = meet(meeting, ranks, rank), .size = ranks};
  ++communicators;
  return ncclInProgress;
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  comm->busy = true;
  return ncclInProgress;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  destroy(comm);
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  while (aborts_hang) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  destroy(comm);
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited" : "some error";
}
const char* ncclGetLastError(ncclComm_t /*comm*/) { return injected_reason.c_str(); }
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  *error = injected_error != ncclSuccess ? injected_error
           : comm->busy                  ? ncclInProgress
                                         : ncclSuccess;
  comm->busy = false;
  return ncclSuccess;
}
ncclResult_t ncclAllReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
  return enqueue(comm, stream, [=] {
    reduce(type, gather(send, count * bytes_of(type), *comm), receive, count, operation,
           comm->size);
  });
}
ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return enqueue(comm, stream, [=] {
    const auto blocks = gather(send, count * bytes_of(type), *comm);
    std::memcpy(receive, blocks.data(), blocks.size());
  });
}
ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  return enqueue(comm, stream, [=] {
    const std::size_t bytes = count * bytes_of(type);
    std::vector<std::byte> values(bytes);
    std::memcpy(values.data(), send, bytes);
    MPI_Bcast(values.data(), static_cast<int>(bytes), MPI_BYTE, root, comm->ranks);
    std::memcpy(receive, values.data(), bytes);
  });
}
