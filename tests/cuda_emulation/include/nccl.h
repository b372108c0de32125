#pragma once
// The part of NCCL that src/backend/cuda uses, over MPI (nccl.cpp): the ranks must be in an MPI
// session. Non-blocking as NCCL is: each call is under way until its state has been asked for.
// Shows results, capture, error paths; nothing of NCCL's own behavior.

#include <cuda_runtime.h>

#include <climits>
#include <cstddef>
#include <string>

using ncclComm_t = struct ncclComm*;

constexpr std::size_t kNcclUniqueIdBytes = 128;
struct ncclUniqueId {
  char internal[kNcclUniqueIdBytes];
};

enum ncclResult_t {
  ncclSuccess,
  ncclUnhandledCudaError,
  ncclSystemError,
  ncclInternalError,
  ncclInvalidArgument,
  ncclInvalidUsage,
  ncclRemoteError,
  ncclInProgress
};
enum ncclRedOp_t { ncclSum, ncclProd, ncclMax, ncclMin, ncclAvg };
enum ncclDataType_t {
  ncclInt8,
  ncclUint8,
  ncclInt32,
  ncclUint32,
  ncclInt64,
  ncclUint64,
  ncclFloat16,
  ncclFloat32,
  ncclFloat64,
  ncclBfloat16
};
struct ncclConfig_t {
  int blocking;
};
#define NCCL_CONFIG_INITIALIZER \
  { INT_MIN }

ncclResult_t ncclGetVersion(int* version);
ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config);
ncclResult_t ncclCommFinalize(ncclComm_t comm);
ncclResult_t ncclCommDestroy(ncclComm_t comm);
ncclResult_t ncclCommAbort(ncclComm_t comm);
const char* ncclGetErrorString(ncclResult_t result);
const char* ncclGetLastError(ncclComm_t comm);
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error);
ncclResult_t ncclAllReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream);

namespace emulation {
/// From now on every communicator of this rank says that it has failed so (ncclSuccess: none), and
/// for this reason.
void fail_nccl(ncclResult_t error, const std::string& reason = "of the emulated NCCL");
/// The collective after `count` more never ends, nor does what is enqueued behind it on any stream
/// (emulation::hang_streams(false) ends that).
void hang_nccl_after(int count);
/// Communicators that exist.
int nccl_communicators();
/// From now on ncclCommAbort returns only when this is over, as NCCL's does while a graph is
/// captured.
void hang_nccl_aborts(bool hang);
}  // namespace emulation
