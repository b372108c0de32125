// Steps that communicate. Without a communicator, or with one rank, they change nothing (a gathered
// tensor is a copy). Spans hold all stored elements, padding included: zeros stay zeros.
//
// The order of events. W(k): the ops that write bucket k of the gradients, on the compute lane;
// S(k): its sum over ranks, on the gradients lane; C(j): the j-th collective of the compute lane;
// U: the update.
//   W(k) precedes S(k):   ReduceGradients records an event on compute, for which gradients waits.
//   S(k) precedes S(k+1): one stream, program order.
//   S(k) precedes U:      WaitForGradients records an event on gradients, for which compute waits.
//   U precedes W(k) of the next step: one stream.
// S(k) touches nothing but its slice of the flat gradient buffer, and no op between W(k) and U
// does: S(k) and the ops after W(k), the C(j) among them, may run side by side.
//
// Two communicators on one device could block each other: if C(j) holds rank 0's device while S(k)
// holds rank 1's and each fills what the other needs, neither ends. NCCL therefore asks that the
// kernels of all communicators start in one order on all ranks. That order is the program's: all
// ranks run the same ops over the same ranges from one thread, and capture and launch their graphs
// alike. NCCL keeps the device to it (NCCL_LAUNCH_ORDER_IMPLICIT, nccl_communicator.cpp);
// where it cannot, the sums are enqueued on the compute lane, where there is but one order. Through
// host memory, every operation is over before the next begins.
//
// In a graph, the first S(k) draws the gradients lane into the capture and WaitForGradients, or the
// end of the graph, joins it (runner.cpp). What runs on the gradients lane outside a graph precedes
// every graph that is launched later.

#include "communication.hpp"

#include "kernels/kernels.hpp"
#include "runtime.hpp"
#include "steps.hpp"

namespace simclr::cuda {

namespace {

BufferSpan stored_span(const TensorView& tensor) {
  return {tensor.data, static_cast<std::size_t>(tensor.layout.stored_elements()),
          tensor.layout.dtype};
}

/// Null where there is nobody to communicate with.
DeviceCommunicator* device_side(Communicator* communicator) {
  if (communicator == nullptr || communicator->size() == 1) return nullptr;
  auto* found = dynamic_cast<DeviceCommunicator*>(communicator);
  require(found != nullptr, "programs use communicators that their backend has made");
  return found;
}

DeviceCommunicator* group_of(const AllReduce& op, const Context& context) {
  return device_side(op.group == RankGroup::world ? context.bindings.world
                                                  : context.bindings.bn_group);
}

/// The mark with which the device reports that it has reached this op, which communicates on
/// `lane`.
Mark mark_of(Lane lane, const DeviceCommunicator& by, const Context& context) {
  if (!by.capturable()) return {};  // the host knows
  return {.word = context.device.watch().word(lane),
          .op = static_cast<std::int32_t>(context.bindings.op)};
}

Prepared make_collective(std::function<void()> call, const DeviceCommunicator& communicator) {
  Prepared prepared = make_step(std::move(call));
  prepared.capturable = communicator.capturable();
  return prepared;
}

Prepared nothing_to_do() {
  return make_step([] {});
}

}  // namespace

Prepared prepare(const AllReduce& op, const Context& context) {
  DeviceCommunicator* group = group_of(op, context);
  if (group == nullptr) return nothing_to_do();
  const BufferSpan buffer = stored_span(context.tensor(op.buffer));
  return make_collective(
      [=, mark = mark_of(Lane::compute, *group, context)] {
        write_mark(mark, group->stream());
        group->all_reduce(buffer, op.reduction);
      },
      *group);
}

Prepared prepare(const AllGather& op, const Context& context) {
  if (!context.bindings.address) return nothing_to_do();  // asked for its scratch memory: none
  DeviceCommunicator* world = device_side(context.bindings.world);
  const BufferSpan local = stored_span(context.tensor(op.local));
  const BufferSpan all = stored_span(context.tensor(op.all));
  const std::size_t ranks = world != nullptr ? static_cast<std::size_t>(world->size()) : 1;
  require(all.count == local.count * ranks, "gathered tensor holds one block per rank");
  if (world != nullptr) {
    return make_collective(
        [=, mark = mark_of(Lane::compute, *world, context)] {
          write_mark(mark, world->stream());
          world->all_gather(local, all);
        },
        *world);
  }
  return make_step([=, stream = context.stream()] {
    check(cudaMemcpyAsync(all.data, local.data, local.bytes(), cudaMemcpyDeviceToDevice, stream),
          "copy a gathered tensor");
  });
}

Prepared prepare(const ReduceGradients& op, const Context& context) {
  DeviceCommunicator* lane = device_side(context.bindings.gradient_lane);
  if (lane == nullptr) return nothing_to_do();
  const BufferSpan bucket{context.tensor(op.gradients).as<float>() + op.begin,
                          static_cast<std::size_t>(op.count), DType::f32};
  const auto written = std::make_shared<Event>();
  return make_collective(
      [=, compute = context.stream(), mark = mark_of(Lane::gradients, *lane, context)] {
        written->record(compute);
        written->make_wait(lane->stream());
        write_mark(mark, lane->stream());
        lane->start_all_reduce(bucket);
      },
      *lane);
}

Prepared prepare(const WaitForGradients& /*op*/, const Context& context) {
  DeviceCommunicator* lane = device_side(context.bindings.gradient_lane);
  if (lane == nullptr) return nothing_to_do();
  const auto summed = std::make_shared<Event>();
  return make_collective(
      [=, compute = context.stream()] {
        lane->wait_for_all();
        // All sums came before this graph, which waits for them as a whole.
        if (is_captured(compute) && !is_captured(lane->stream())) return;
        summed->record(lane->stream());
        summed->make_wait(compute);
      },
      *lane);
}

}  // namespace simclr::cuda
