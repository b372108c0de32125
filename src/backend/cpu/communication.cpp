// Steps that communicate. Without a communicator there is one rank, and they change nothing.

#include <cstring>

#include "steps.hpp"

namespace simclr::cpu {

namespace {

/// All stored elements, padding included: zeros stay zeros.
BufferSpan stored_span(const TensorView& tensor) {
  return {tensor.data, static_cast<std::size_t>(tensor.layout.stored_elements()),
          tensor.layout.dtype};
}

Prepared nothing_to_do() {
  return make_step([] {});
}

}  // namespace

Prepared prepare(const AllReduce& op, const Context& context) {
  Communicator* group =
      op.group == RankGroup::world ? context.bindings.world : context.bindings.bn_group;
  if (group == nullptr || group->size() == 1) return nothing_to_do();
  const BufferSpan buffer = stored_span(context.tensor(op.buffer));
  return make_step([=] { group->all_reduce(buffer, op.reduction); });
}

Prepared prepare(const AllGather& op, const Context& context) {
  if (!context.bindings.address) return nothing_to_do();  // asked for its scratch memory: none
  Communicator* world = context.bindings.world;
  const BufferSpan local = stored_span(context.tensor(op.local));
  const BufferSpan all = stored_span(context.tensor(op.all));
  const std::size_t ranks = world != nullptr ? static_cast<std::size_t>(world->size()) : 1;
  require(all.count == local.count * ranks, "gathered tensor holds one block per rank");
  if (ranks == 1) return make_step([=] { std::memcpy(all.data, local.data, local.bytes()); });
  return make_step([=] { world->all_gather(local, all); });
}

// The sum of bucket k is started before that of bucket k+1 on every rank, all after the ops that
// wrote bucket k and before the wait, which precedes the update: program order is the only order.
Prepared prepare(const ReduceGradients& op, const Context& context) {
  Communicator* lane = context.bindings.gradient_lane;
  if (lane == nullptr || lane->size() == 1) return nothing_to_do();
  const BufferSpan bucket{context.tensor(op.gradients).as<float>() + op.begin,
                          static_cast<std::size_t>(op.count), DType::f32};
  PendingGradients* pending = &context.pending;
  return make_step([=] {
    lane->start_all_reduce(bucket);
    pending->lane = lane;
  });
}

Prepared prepare(const WaitForGradients& /*op*/, const Context& context) {
  Communicator* lane = context.bindings.gradient_lane;
  if (lane == nullptr || lane->size() == 1) return nothing_to_do();
  PendingGradients* pending = &context.pending;
  return make_step([=] {
    lane->wait_for_all();
    pending->lane = nullptr;
  });
}

}  // namespace simclr::cpu
