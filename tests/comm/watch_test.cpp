// The watchdog's parts, in one process.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "comm/watch/follower.hpp"
#include "comm/watch/monitor.hpp"
#include "comm/watch/verdict.hpp"
#include "simclr/comm/watchdog.hpp"
#include "simclr/core/check.hpp"

namespace simclr::watch {
namespace {

using State = RankRecord::State;

RankRecord record(int rank, std::uint64_t phases, std::int32_t op, bool waits) {
  RankRecord r{.rank = rank, .host = "n" + std::to_string(rank), .state = State::present};
  r.at.step = 12;
  r.at.phases = phases;
  r.at.op = op;
  r.at.waits = waits;
  return r;
}

std::string stalled(const std::vector<RankRecord>& ranks) {
  const auto fault = stalled_fault(ranks, 100, 60, 101);
  return fault ? fault->message : "";
}

TEST(Verdict, BlamesTheRankThatIsFurthestBehind) {
  EXPECT_EQ(stalled({record(0, 5, 7, false), record(1, 5, 3, false), record(2, 4, 9, false)})
                .substr(0, 18),
            "rank 2 on n2 is la");
  EXPECT_EQ(stalled({record(0, 5, 7, false), record(1, 5, 3, false)}).substr(0, 18),
            "rank 1 on n1 is la");
}

TEST(Verdict, BlamesWaitingRanksOnlyIfAllWait) {
  EXPECT_EQ(
      stalled({record(0, 5, 3, true), record(1, 5, 4, false), record(2, 5, 3, true)}).substr(0, 18),
      "rank 1 on n1 is la");
  EXPECT_EQ(stalled({record(0, 5, 3, true), record(1, 5, 2, true)}).substr(0, 18),
            "rank 1 on n1 is la");
  EXPECT_NE(stalled({record(0, 5, 3, true), record(1, 5, 3, true)}).find("no rank is behind"),
            std::string::npos);
}

TEST(Verdict, FindsNoStallWhileARankMovesOrIsSilent) {
  std::vector<RankRecord> ranks{record(0, 5, 7, false), record(1, 5, 3, true)};
  Whereabouts news = ranks[1].at;
  ranks[1].update(news, 95);  // alive, but at the same position
  EXPECT_NE(stalled(ranks), "");
  ++news.moves;
  ranks[1].update(news, 95);
  EXPECT_EQ(stalled(ranks), "");
  EXPECT_FALSE(stalled_fault(ranks, 160, 60, 30)) << "rank 0's position is unknown";
  ranks[1].state = State::gone;  // ranks that left do not count
  EXPECT_NE(stalled(ranks), "");
}

TEST(Verdict, NamesAllLostRanks) {
  std::vector<RankRecord> ranks;
  ranks.reserve(12);
  for (int rank = 0; rank < 12; ++rank) ranks.push_back(record(rank, 5, 3, false));
  EXPECT_EQ(lost_ranks(ranks, 10, 20).size(), 0U);
  ranks[3].state = State::closed;
  const auto one = lost_ranks(ranks, 10, 20);
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(
      lost_fault(one, 10).message,
      "rank 3 on n3 is lost at step 12, op 3 (): its process has ended or closed its connection");
  ranks[4].state = State::absent;
  ranks[5].state = State::gone;
  ranks[6].update(ranks[6].at, 15);
  const auto many = lost_ranks(ranks, 30, 20);
  EXPECT_EQ(many.size(), 9U);
  const Fault fault = lost_fault(many, 30);
  EXPECT_EQ(fault.cause, Cause::lost_rank);
  EXPECT_TRUE(fault.message.ends_with("; and 1 more")) << fault.message;
  EXPECT_NE(fault.message.find("rank 0 on n0 is lost"), std::string::npos);
  EXPECT_NE(fault.message.find("nothing heard from it for 30 s"), std::string::npos);
}

TEST(OwnTime, CountsAPauseOfTheProcessAsOneInterval) {
  const auto start = OwnTime::Clock::now();
  OwnTime time(2, start);
  EXPECT_DOUBLE_EQ(time.tick(start + std::chrono::seconds(1)), 1);
  EXPECT_DOUBLE_EQ(time.longest_pause(), 1);
  EXPECT_DOUBLE_EQ(time.tick(start + std::chrono::hours(1)), 3);
  EXPECT_DOUBLE_EQ(time.longest_pause(), 3599);
  EXPECT_DOUBLE_EQ(time.tick(start + std::chrono::hours(1) + std::chrono::seconds(1)), 4);
}

/// Runs rank 0's side of the watchdog of a job of two ranks.
class MonitorTest : public testing::Test {
 protected:
  void SetUp() override {
    Listener listener = listen_anywhere();
    endpoint = {.port = listener.port, .addresses = own_addresses()};
    monitor = std::make_unique<Monitor>(settings(0), std::move(listener), nullptr);
    thread = std::thread([this] { monitor->run(); });
  }
  void TearDown() override {
    monitor->request_stop(Departure::leave);
    thread.join();
  }

  [[nodiscard]] WatchSettings settings(int rank) const {
    return {.options = {.timeout_seconds = 60, .silence_seconds = 5},
            .hosts = {"n0", "n1"},
            .rank = rank,
            .token = token};
  }
  /// True when the peer closes the connection within seconds.
  static bool is_closed(Connection& connection) {
    for (int i = 0; i < 100; ++i) {
      if (readable(connection.socket(), 0.1) && connection.receive().closed) return true;
    }
    return false;
  }

  Token token{1, 2};
  Endpoint endpoint;
  std::unique_ptr<Monitor> monitor;
  std::thread thread;
};

TEST_F(MonitorTest, AnswersOnlyRanksOfItsJob) {
  WatchSettings foreign = settings(1);
  foreign.token = {1, 3};
  EXPECT_THROW(Follower(foreign, endpoint, nullptr), Error);
  EXPECT_THROW(Follower(settings(2), endpoint, nullptr), Error);
  EXPECT_NO_THROW({
    Follower follower(settings(1), endpoint, nullptr);
    follower.request_stop(Departure::leave);
    follower.run();
  });
}

TEST_F(MonitorTest, FollowerSkipsAddressesAtWhichRankZeroDoesNotAnswer) {
  Endpoint several = endpoint;
  several.addresses.insert(several.addresses.begin(), {"256.0.0.1", "127.0.0.77", "::2"});
  Follower follower(settings(1), several, nullptr);
  follower.request_stop(Departure::leave);
  follower.run();
}

TEST_F(MonitorTest, ClosesConnectionsThatSendGarbage) {
  Connection noise(connect_to("127.0.0.1", endpoint.port, 5));
  ASSERT_TRUE(noise.socket());
  const std::string request(2 * sizeof(Frame), 'x');
  ASSERT_EQ(::send(noise.socket().get(), request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  EXPECT_TRUE(is_closed(noise));
}

TEST_F(MonitorTest, AssemblesFramesThatArriveInPieces) {
  Connection rank(connect_to("127.0.0.1", endpoint.port, 5));
  Frame hello{.token = token, .kind = FrameKind::hello, .rank = 1, .at = {}};
  const auto* bytes = reinterpret_cast<const char*>(&hello);
  constexpr std::size_t kHalf = sizeof(Frame) / 2;
  ::send(rank.socket().get(), bytes, kHalf, MSG_NOSIGNAL);
  EXPECT_FALSE(readable(rank.socket(), 0.5));
  ::send(rank.socket().get(), bytes + kHalf, sizeof(Frame) - kHalf, MSG_NOSIGNAL);
  EXPECT_TRUE(readable(rank.socket(), 10));
  hello.kind = FrameKind::leave;
  rank.send(hello);
  rank.end_sending();
  EXPECT_TRUE(is_closed(rank));
}

void stand_still() { std::this_thread::sleep_for(std::chrono::seconds(60)); }

TEST(WatchdogDeathTest, EndsAStalledRank) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto world = make_self_communicator();
  EXPECT_EXIT(
      {
        const Watchdog watchdog(*world, {.timeout_seconds = 0.5, .silence_seconds = 0.5}, {});
        activity().at_step(3);
        activity().begin("reading a batch");
        stand_still();
      },
      testing::ExitedWithCode(1),
      "simclr: error: rank 0 on .* is late at step 3, reading a batch: nothing has moved for 0.5 "
      "s");
}

TEST(WatchdogDeathTest, EndsAStalledRankEvenIfTheHandlerHangs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto world = make_self_communicator();
  EXPECT_EXIT(
      {
        const Watchdog watchdog(*world, {.timeout_seconds = 0.5, .silence_seconds = 0.5},
                                [](const Fault&) { stand_still(); });
        stand_still();
      },
      testing::ExitedWithCode(1), "is late");
}

}  // namespace
}  // namespace simclr::watch
