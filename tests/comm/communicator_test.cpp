#include "simclr/comm/communicator.hpp"

#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <filesystem>
#include <functional>
#include <limits>
#include <set>
#include <thread>

#include "comm/node_ring.hpp"
#include "simclr/comm/exchange.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/system.hpp"

namespace simclr {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class CommunicatorTest : public testing::Test {
 protected:
  std::unique_ptr<Communicator> world = make_world_communicator();
  int rank = world->rank();
  int size = world->size();
};

TEST_F(CommunicatorTest, ReducesEveryTypeAndOperation) {
  std::vector<float> f{static_cast<float>(rank + 1), 2};
  world->all_reduce(buffer_span(std::span(f)), Reduction::sum);
  const int sum_of_ranks_from_one = size * (size + 1) / 2;
  EXPECT_EQ(f[0], static_cast<float>(sum_of_ranks_from_one));
  EXPECT_EQ(f[1], static_cast<float>(2 * size));

  double d = rank;
  world->all_reduce({&d, 1, DType::f64}, Reduction::mean);
  EXPECT_DOUBLE_EQ(d, (size - 1) / 2.0);

  std::int32_t most = rank;
  std::int32_t least = rank;
  world->all_reduce({&most, 1, DType::i32}, Reduction::max);
  world->all_reduce({&least, 1, DType::i32}, Reduction::min);
  EXPECT_EQ(most, size - 1);
  EXPECT_EQ(least, 0);
}

TEST_F(CommunicatorTest, GathersInRankOrderAndBroadcasts) {
  const std::vector<float> own{static_cast<float>(rank), static_cast<float>(10 * rank)};
  std::vector<float> all(own.size() * static_cast<std::size_t>(size), kNaN);
  world->all_gather(const_buffer_span(std::span(own)), buffer_span(std::span(all)));
  for (int r = 0; r < size; ++r) {
    EXPECT_EQ(all[static_cast<std::size_t>(2 * r)], static_cast<float>(r));
    EXPECT_EQ(all[static_cast<std::size_t>(2 * r + 1)], static_cast<float>(10 * r));
  }
  const int last = size - 1;
  float value = rank == last ? 3.5F : kNaN;
  world->broadcast({&value, 1, DType::f32}, last);
  EXPECT_EQ(value, 3.5F);
}

TEST_F(CommunicatorTest, BackgroundSumsEndWithWaitForAll) {
  const auto lane = world->duplicate();
  std::vector<float> first(100000, static_cast<float>(rank));
  std::vector<float> second(7, 1.0F);
  lane->start_all_reduce(buffer_span(std::span(first)));
  lane->progress();
  lane->start_all_reduce(buffer_span(std::span(second)));
  // Another communicator works meanwhile.
  EXPECT_FALSE(any_rank(*world, false));
  lane->progress();
  lane->wait_for_all();
  const int sum_of_ranks = size * (size - 1) / 2;
  const auto expected = static_cast<float>(sum_of_ranks);
  EXPECT_EQ(std::count(first.begin(), first.end(), expected), 100000);
  EXPECT_EQ(std::count(second.begin(), second.end(), static_cast<float>(size)), 7);
}

// For runs that must be on several nodes, which nodes_test.py makes.
TEST_F(CommunicatorTest, DISABLED_RanksAreOnSeveralNodes) {
  EXPECT_LT(node_place(*world).ranks, size);
}

/// Sums of values whose rounding depends on the order, around a ring of the nodes that `node_of`
/// gives to the ranks.
void expect_sums_around_nodes(Communicator& world, const std::function<int(int)>& node_of,
                              std::size_t count) {
  const auto& ranks = dynamic_cast<MpiCommunicator&>(world);
  MPI_Comm node = MPI_COMM_NULL;
  ASSERT_EQ(MPI_Comm_split(ranks.handle(), node_of(world.rank()), world.rank(), &node),
            MPI_SUCCESS);
  NodeRing ring(ranks, node);
  const auto value = [](int rank, std::size_t i) {
    return static_cast<float>(rank + 1) / static_cast<float>(i + 3);
  };
  std::vector<float> sums(count);
  for (std::size_t i = 0; i < count; ++i) sums[i] = value(world.rank(), i);
  ring.sum(buffer_span(std::span(sums)));
  std::vector<std::int32_t> most(count);
  for (std::size_t i = 0; i < count; ++i) {
    const int sum_of_ranks_from_one = world.size() * (world.size() + 1) / 2;
    const double exact = sum_of_ranks_from_one / static_cast<double>(i + 3);
    ASSERT_NEAR(sums[i], exact, 1e-6 * exact) << "element " << i << " of " << count;
    most[i] = std::bit_cast<std::int32_t>(sums[i]);
  }
  std::vector<std::int32_t> least = most;
  world.all_reduce({most.data(), count, DType::i32}, Reduction::max);
  world.all_reduce({least.data(), count, DType::i32}, Reduction::min);
  EXPECT_EQ(most, least) << "ranks have different bits";
  std::int32_t number = world.rank();
  ring.sum({&number, 1, DType::i32});
  EXPECT_EQ(number, world.size() * (world.size() - 1) / 2);
}

TEST_F(CommunicatorTest, SumsAroundARingOfNodes) {
  for (const std::size_t count : {0, 1, 3, 100003}) {
    expect_sums_around_nodes(
        *world, [](int r) { return r; }, count);
    expect_sums_around_nodes(
        *world, [](int r) { return r / 2; }, count);
    expect_sums_around_nodes(
        *world, [](int r) { return std::min(r, 1); }, count);  // 1 and the rest
  }
}

TEST_F(CommunicatorTest, RanksThatWaitLeaveTheirCore) {
  if (size < 2) GTEST_SKIP() << "needs two ranks";
  const auto lane = world->duplicate();
  std::vector<float> sums(1000, 1.0F);
  // Processor time that each rank spends while rank 0 makes it wait for half a second.
  const auto spent_waiting = [&](const auto& wait) {
    world->barrier();
    if (rank == 0) std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const double before = thread_seconds();
    wait();
    return thread_seconds() - before;
  };
  EXPECT_LT(spent_waiting([&] { world->barrier(); }), 0.25);
  EXPECT_LT(spent_waiting([&] { world->all_reduce(buffer_span(std::span(sums)), Reduction::sum); }),
            0.25);
  EXPECT_LT(spent_waiting([&] {
              lane->start_all_reduce(buffer_span(std::span(sums)));
              lane->wait_for_all();
            }),
            0.25);
  EXPECT_EQ(sums[999], static_cast<float>(size * size));
}

TEST_F(CommunicatorTest, SplitsByColor) {
  const auto pair = world->split(rank / 2);
  EXPECT_EQ(pair->rank(), rank % 2);
  EXPECT_EQ(pair->size(), std::min(2, size - rank / 2 * 2));
  std::int32_t sum = rank;
  pair->all_reduce({&sum, 1, DType::i32}, Reduction::sum);
  EXPECT_EQ(sum, pair->size() == 1 ? rank : 4 * (rank / 2) + 1);
}

TEST_F(CommunicatorTest, ControlPlaneTellsEveryRankTheSame) {
  EXPECT_TRUE(any_rank(*world, rank == size - 1));
  EXPECT_EQ(broadcast_text(*world, rank == 0 ? "from the root" : "ignored"), "from the root");
  struct Pair {
    std::int64_t step = 0;
    float value = 0;
  };
  const Pair pair = broadcast_value(*world, Pair{.step = rank, .value = 0.5F}, size - 1);
  EXPECT_EQ(pair.step, size - 1);
  EXPECT_EQ(pair.value, 0.5F);
  for (int root = 0; root < size; ++root) {
    const std::vector<std::int64_t> list(static_cast<std::size_t>(rank), rank);
    EXPECT_EQ(broadcast_list(*world, list, root),
              std::vector<std::int64_t>(static_cast<std::size_t>(root), root));
  }
  const std::string own(static_cast<std::size_t>(3 * rank), 'x');
  const std::vector<std::string> all = gather_texts(*world, own);
  ASSERT_EQ(all.size(), static_cast<std::size_t>(size));
  for (int r = 0; r < size; ++r) {
    EXPECT_EQ(all[static_cast<std::size_t>(r)].size(), static_cast<std::size_t>(3 * r));
  }
}

TEST_F(CommunicatorTest, OnRootRethrowsOnEveryRank) {
  int runs = 0;
  on_root(*world, [&] { ++runs; });
  EXPECT_EQ(runs, rank == 0 ? 1 : 0);
  EXPECT_THROW(on_root(*world, [] { refuse("not this"); }), RefusedError);
  try {
    on_root(*world, [] { fail("disk full"); });
    ADD_FAILURE() << "nothing was thrown";
  } catch (const RefusedError&) {
    ADD_FAILURE() << "an Error must not arrive as a RefusedError";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "disk full");
  }
}

TEST_F(CommunicatorTest, RanksOfANodeShareMemory) {
  NodeSharedMemory memory(*world, 1000);
  EXPECT_EQ(memory.place().ranks, node_place(*world).ranks);
  EXPECT_EQ(memory.place().ranks, size);  // the test runs on one node
  const std::span<std::byte> bytes = memory.bytes();
  ASSERT_EQ(bytes.size(), 1000U);
  bytes[static_cast<std::size_t>(rank)] = static_cast<std::byte>(rank + 1);
  memory.synchronize();
  for (int r = 0; r < size; ++r) {
    EXPECT_EQ(std::to_integer<int>(bytes[static_cast<std::size_t>(r)]), r + 1);
  }
}

TEST_F(CommunicatorTest, SharedMemoryIsReservedOrRefused) {
  const auto names_in_shared_memory = [] {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
      names.insert(entry.path().filename().string());
    }
    return names;
  };
  // A program killed while its object still had a name has left it. Names of other programs that
  // run at the same time disappear after milliseconds.
  const std::set<std::string> left_by_others = names_in_shared_memory();
  world->barrier();
  const auto leaves_no_name = [&] {
    std::set<std::string> common;
    for (int i = 0; i < 10; ++i, std::this_thread::sleep_for(std::chrono::milliseconds(20))) {
      const std::set<std::string> names = names_in_shared_memory();
      if (i == 0) common = names;
      std::erase_if(common, [&](const std::string& name) {
        return !name.starts_with("simclr-") || left_by_others.contains(name) ||
               !names.contains(name);
      });
    }
    return common.empty();
  };
  struct statvfs status {};
  ASSERT_EQ(::statvfs("/dev/shm", &status), 0);
  const std::uint64_t free = std::uint64_t{status.f_bavail} * status.f_frsize;
  if (size == 1) return;  // one rank has memory of its own
  {
    const NodeSharedMemory memory(*world, 1 << 20);
    EXPECT_TRUE(leaves_no_name()) << "it must have none while it is used";
    EXPECT_EQ(std::count(memory.bytes().begin(), memory.bytes().end(), std::byte{}), 1 << 20);
    world->barrier();
  }
  try {
    const NodeSharedMemory too_large(*world, free + (std::uint64_t{1} << 30));
    ADD_FAILURE() << "reserved more than there is";
  } catch (const NoSharedMemoryError& error) {
    EXPECT_NE(std::string(error.what()).find("/dev/shm has no room for the "), std::string::npos)
        << error.what();
    EXPECT_LT(error.free_bytes(), free + (std::uint64_t{1} << 30));
  }
  EXPECT_TRUE(leaves_no_name());
}

TEST_F(CommunicatorTest, ComparesValuesOfAllRanks) {
  EXPECT_NO_THROW(require_same_values(*world, {{"option --a", "1"}, {"option --b", ""}}));
  if (size == 1) return;
  const std::string own = rank == size - 1 ? "16" : "8";
  try {
    require_same_values(*world, {{"option --a", "1"}, {"option --b", own}, {"option --c", ""}});
    ADD_FAILURE() << "nothing was refused";
  } catch (const RefusedError& error) {
    const std::string others = size == 2 ? "rank 0" : fmt::format("ranks 0 to {}", size - 2);
    EXPECT_EQ(std::string(error.what()),
              fmt::format("the ranks were started differently: option --b ('8' on {}, '16' on rank "
                          "{}); start all with the same program and options",
                          others, size - 1));
  }
}

TEST_F(CommunicatorTest, TheFirstRankThatRefusesSpeaksForAll) {
  EXPECT_EQ(first_text(*world, ""), "");
  EXPECT_NO_THROW(refuse_together(*world, ""));
  const int first = size / 2;
  const std::string own = rank < first ? "" : fmt::format("rank {} refuses", rank);
  const std::string expected = fmt::format("rank {} refuses", first);
  EXPECT_EQ(first_text(*world, own), expected);
  try {
    refuse_together(*world, own);
    ADD_FAILURE() << "nothing was refused";
  } catch (const RefusedError& error) {
    EXPECT_EQ(std::string(error.what()), expected);
  }
}

std::vector<std::byte> filled(std::size_t bytes, int value) {
  std::vector<std::byte> block(bytes);
  std::fill(block.begin(), block.end(), static_cast<std::byte>(value));
  return block;
}

void finish(Exchange& exchange) {
  while (!exchange.advance()) std::this_thread::yield();
}

TEST_F(CommunicatorTest, ExchangeGathersAndScattersPiecesInStartOrder) {
  const auto exchange = make_exchange(*world);
  ASSERT_EQ(exchange->rank(), rank);
  ASSERT_EQ(exchange->size(), size);
  EXPECT_TRUE(exchange->idle());
  // Twice, every rank sends two pieces to every other: 40,000 bytes of its own number and 7 bytes
  // of the receiver's. The receiver splits the message elsewhere, after 13 bytes. The messages are
  // too long for MPI's eager protocol.
  const auto body = filled(40000, rank);
  std::vector<std::vector<std::byte>> endings;
  std::vector<std::vector<std::byte>> heads(static_cast<std::size_t>(2 * size), filled(13, 255));
  std::vector<std::vector<std::byte>> tails(static_cast<std::size_t>(2 * size), filled(39994, 255));
  endings.reserve(static_cast<std::size_t>(size));
  for (int peer = 0; peer < size; ++peer) endings.push_back(filled(7, 100 + peer));
  for (std::size_t round = 0; round < 2; ++round) {
    std::vector<OutgoingMessage> send;
    std::vector<IncomingMessage> receive;
    for (int peer = 0; peer < size; ++peer) {
      if (peer == rank) continue;
      const std::size_t at = 2 * static_cast<std::size_t>(peer) + round;
      const std::vector<std::byte>& ending = endings[static_cast<std::size_t>(peer)];
      if (round == 0) {
        send.push_back({peer, {body, ending}});
      } else {
        send.push_back({peer, {ending, body}});
      }
      receive.push_back({peer, {heads[at], tails[at]}});
    }
    exchange->start(send, receive);
  }
  finish(*exchange);
  EXPECT_TRUE(exchange->idle());
  for (int peer = 0; peer < size; ++peer) {
    if (peer == rank) continue;
    const std::size_t at = 2 * static_cast<std::size_t>(peer);
    std::vector<std::byte> expected = filled(40007, peer);
    std::fill(expected.end() - 7, expected.end(), static_cast<std::byte>(100 + rank));
    EXPECT_EQ(heads[at], filled(13, peer));
    EXPECT_TRUE(std::equal(tails[at].begin(), tails[at].end(), expected.begin() + 13));
    EXPECT_EQ(heads[at + 1].front(), static_cast<std::byte>(100 + rank));
    EXPECT_EQ(heads[at + 1][7], static_cast<std::byte>(peer));
    EXPECT_EQ(tails[at + 1], filled(39994, peer));
  }
}

TEST_F(CommunicatorTest, AnExchangeInFlightDoesNotBlockOtherCommunicators) {
  if (size < 2) GTEST_SKIP() << "needs two ranks";
  const auto exchange = make_exchange(*world);
  std::vector<std::byte> received = filled(100000, 255);
  const auto sent = filled(100000, 42);
  if (rank == 0) {
    exchange->start({}, {{1, {received}}});
    EXPECT_FALSE(exchange->advance());
    EXPECT_FALSE(exchange->idle());
  }
  world->barrier();
  if (rank == 1) exchange->start({{0, {sent}}}, {});
  finish(*exchange);
  if (rank == 0) {
    EXPECT_EQ(received, sent);
  }
}

TEST_F(CommunicatorTest, AllRanksArriveWhenAllCall) { EXPECT_TRUE(all_ranks_arrive(30)); }

TEST(SelfCommunicatorTest, EveryOperationIsTheIdentity) {
  const auto self = make_self_communicator();
  std::vector<float> values{1, 2, 3};
  self->all_reduce(buffer_span(std::span(values)), Reduction::sum);
  self->start_all_reduce(buffer_span(std::span(values)));
  self->wait_for_all();
  self->broadcast(buffer_span(std::span(values)), 0);
  std::vector<float> all(3, kNaN);
  self->all_gather(const_buffer_span(std::span<const float>(values)), buffer_span(std::span(all)));
  EXPECT_EQ(all, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(self->duplicate()->size(), 1);
  const auto exchange = make_exchange(*self);
  exchange->start({}, {});
  EXPECT_TRUE(exchange->advance());
  EXPECT_TRUE(exchange->idle());
  EXPECT_EQ(exchange->size(), 1);
  EXPECT_THROW(exchange->start({{0, {}}}, {}), Error);
  NodeSharedMemory memory(*self, 16);
  EXPECT_EQ(memory.bytes().size(), 16U);
}

}  // namespace
}  // namespace simclr
