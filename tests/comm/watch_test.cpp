// The watchdog's parts, in one process.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <span>
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

TEST(SipHash, GivesTheResultsOfOpenSsl) {
  // openssl mac -macopt hexkey:000102...0f -macopt size:16 -in FILE SIPHASH
  const Bits128 key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  const auto hash = [&](std::size_t length) {
    std::vector<std::byte> message(length);
    for (std::size_t i = 0; i < length; ++i) message[i] = static_cast<std::byte>(i);
    const Bits128 result = siphash(key, message);
    std::string text;
    for (const std::byte b : std::as_bytes(std::span(result))) {
      text += fmt::format("{:02X}", std::to_integer<int>(b));
    }
    return text;
  };
  EXPECT_EQ(hash(0), "A3817F04BA25A8E66DF67214C7550293");
  EXPECT_EQ(hash(1), "DA87C1D86B99AF44347659119B22FC45");
  EXPECT_EQ(hash(7), "A1F1EBBED8DBC153C0B84AA61FF08239");
  EXPECT_EQ(hash(8), "3B62A9BA6258F5610F83E264F31497B4");
  EXPECT_EQ(hash(15), "5493E99933B0A8117E08EC0F97CFC3D9");
  EXPECT_EQ(hash(63), "5150D1772F50834A503E069A973FBD7C");
}

using Bytes = std::vector<char>;

/// Two connections, and between them a network that this test controls.
class ConnectionTest : public testing::Test {
 protected:
  struct Line {
    Descriptor end, network;
  };
  static Line make_line() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    return {Descriptor(ends[0]), Descriptor(ends[1])};
  }
  static Bytes sent_by(const Descriptor& network) {
    Bytes bytes(10 * sizeof(Frame));
    const ssize_t got = ::recv(network.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(0, got)));
    return bytes;
  }
  static void deliver(const Descriptor& network, const Bytes& bytes) {
    ASSERT_EQ(::send(network.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void exchange_nonces() {
    deliver(right_network, sent_by(left_network));
    deliver(left_network, sent_by(right_network));
    EXPECT_TRUE(left.receive().frames.empty());
    EXPECT_TRUE(right.receive().frames.empty());
    ASSERT_TRUE(left.can_send() && right.can_send());
  }
  static Frame frame(int rank) { return {.kind = FrameKind::beat, .rank = rank, .at = {}}; }

  const Secret secret{0x1122334455667788, 0x99aabbccddeeff00};
  Line left_line = make_line(), right_line = make_line();
  Descriptor left_network = std::move(left_line.network);
  Descriptor right_network = std::move(right_line.network);
  Connection left{std::move(left_line.end), Connection::Side::root, secret};
  Connection right{std::move(right_line.end), Connection::Side::other, secret};
};

TEST_F(ConnectionTest, AssemblesFramesThatArriveInPieces) {
  exchange_nonces();
  right.send(frame(1));
  right.send(frame(2));
  const Bytes bytes = sent_by(right_network);
  ASSERT_EQ(bytes.size(), 2 * sizeof(Frame));
  std::vector<Frame> received;
  for (const char byte : bytes) {
    deliver(left_network, {byte});
    const auto part = left.receive();
    EXPECT_FALSE(part.closed || part.foreign);
    received.insert(received.end(), part.frames.begin(), part.frames.end());
  }
  ASSERT_EQ(received.size(), 2U);
  EXPECT_EQ(received[0].rank, 1);
  EXPECT_EQ(received[1].rank, 2);
}

TEST_F(ConnectionTest, NeverSendsTheSecret) {
  left.send(frame(0));  // without the peer's nonce, nothing
  Bytes all = sent_by(left_network);
  EXPECT_EQ(all.size(), sizeof(Bits128));
  deliver(right_network, all);
  deliver(left_network, sent_by(right_network));
  (void)left.receive();
  left.send(frame(0));
  const Bytes frame_bytes = sent_by(left_network);
  EXPECT_EQ(frame_bytes.size(), sizeof(Frame));
  all.insert(all.end(), frame_bytes.begin(), frame_bytes.end());
  for (const std::uint64_t word : secret) {
    const auto* bytes = reinterpret_cast<const char*>(&word);
    EXPECT_EQ(std::search(all.begin(), all.end(), bytes, bytes + sizeof(word)), all.end());
  }
}

TEST_F(ConnectionTest, NoticesAChangedByte) {
  exchange_nonces();
  right.send(frame(1));
  Bytes bytes = sent_by(right_network);
  bytes[sizeof(Bits128) + 4] ^= 1;  // the rank
  deliver(left_network, bytes);
  const auto received = left.receive();
  EXPECT_TRUE(received.foreign);
  EXPECT_TRUE(received.frames.empty());
}

TEST_F(ConnectionTest, NoticesARepeatedFrame) {
  exchange_nonces();
  right.send(frame(1));
  const Bytes bytes = sent_by(right_network);
  deliver(left_network, bytes);
  EXPECT_EQ(left.receive().frames.size(), 1U);
  deliver(left_network, bytes);
  EXPECT_TRUE(left.receive().foreign);
}

TEST_F(ConnectionTest, NoticesItsOwnFramesReflected) {
  deliver(left_network, sent_by(left_network));
  (void)left.receive();
  ASSERT_TRUE(left.can_send());
  left.send(frame(0));
  deliver(left_network, sent_by(left_network));
  EXPECT_TRUE(left.receive().foreign);
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
            .secret = {1, 2}};
  }
  [[nodiscard]] Descriptor stranger() const { return connect_to("127.0.0.1", endpoint.port, 5); }
  /// The other rank comes, and goes again.
  void expect_rank_is_admitted() const {
    EXPECT_NO_THROW({
      Follower follower(settings(1), endpoint, nullptr);
      follower.request_stop(Departure::leave);
      follower.run();
    });
  }
  /// True when the peer closes the connection within seconds.
  static bool is_closed(const Descriptor& socket) {
    std::array<char, 1000> bytes{};
    for (int i = 0; i < 100; ++i) {
      if (!readable(socket, 0.1)) continue;
      if (::recv(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) <= 0) return true;
    }
    return false;
  }

  Endpoint endpoint;
  std::unique_ptr<Monitor> monitor;
  std::thread thread;
};

TEST_F(MonitorTest, AnswersOnlyRanksOfItsJob) {
  WatchSettings foreign = settings(1);
  foreign.secret = {1, 3};
  EXPECT_THROW(Follower(foreign, endpoint, nullptr), Error);
  EXPECT_THROW(Follower(settings(2), endpoint, nullptr), Error);
  expect_rank_is_admitted();
}

TEST_F(MonitorTest, NobodyCanConnectOnceAllRanksHaveCome) {
  const Descriptor early = stranger();
  ASSERT_TRUE(early);
  expect_rank_is_admitted();
  EXPECT_TRUE(is_closed(early));
  EXPECT_FALSE(stranger());
}

TEST_F(MonitorTest, FollowerSkipsAddressesAtWhichRankZeroDoesNotAnswer) {
  Endpoint several = endpoint;
  several.addresses.insert(several.addresses.begin(), {"256.0.0.1", "127.0.0.77", "::2"});
  Follower follower(settings(1), several, nullptr);
  follower.request_stop(Departure::leave);
  follower.run();
}

TEST_F(MonitorTest, AFollowerTrustsNobodyWhoDoesNotKnowTheSecret) {
  Listener listener = listen_anywhere();
  std::thread liar([&] {
    (void)readable(listener.socket, 10);
    const Descriptor victim = accept_next(listener);
    const std::vector<char> answer(sizeof(Bits128) + sizeof(Frame), 0);
    ::send(victim.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    EXPECT_TRUE(is_closed(victim));
  });
  EXPECT_THROW(Follower(settings(1), {.port = listener.port, .addresses = {"127.0.0.1"}}, nullptr),
               Error);
  liar.join();
}

TEST_F(MonitorTest, AStreamOfZerosIsCutOff) {
  const Descriptor flood = stranger();
  ASSERT_TRUE(flood);
  const std::vector<char> zeros(1 << 20);
  const auto start = std::chrono::steady_clock::now();
  const auto passed = [&] { return std::chrono::steady_clock::now() - start; };
  while (::send(flood.get(), zeros.data(), zeros.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0 ||
         errno == EAGAIN) {
    ASSERT_LT(passed(), std::chrono::seconds(10)) << "still open";
  }
  expect_rank_is_admitted();
}

TEST_F(MonitorTest, SurvivesGarbage) {
  const std::vector<std::string> garbage{
      "", std::string(100, 'x'), std::string(10 * sizeof(Frame), 'x'), "GET / HTTP/1.0\r\n\r\n",
      std::string(sizeof(Bits128) + sizeof(Frame), '\0')};
  for (int i = 0; i < 200; ++i) {
    const Descriptor noise = stranger();
    ASSERT_TRUE(noise);
    const std::string& text = garbage[static_cast<std::size_t>(i) % garbage.size()];
    ::send(noise.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (i % 3 == 0) ::shutdown(noise.get(), SHUT_WR);
    const linger reset{.l_onoff = 1, .l_linger = 0};
    if (i % 7 == 0) ::setsockopt(noise.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  }
  expect_rank_is_admitted();
}

TEST_F(MonitorTest, IdleConnectionsTakeALimitedNumberOfDescriptors) {
  constexpr std::size_t kStrangers = 1000;
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4 * kStrangers);
  if (limit.rlim_cur < 2 * kStrangers) GTEST_SKIP() << "the hard limit of open files is too low";
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const auto open_files = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  };
  const std::size_t before = open_files();
  std::vector<Descriptor> idle;
  for (std::size_t i = 0; i < kStrangers; ++i) {
    idle.push_back(stranger());
    ASSERT_TRUE(idle.back());
    // One for each missing rank, and one while the oldest is replaced.
    EXPECT_LE(open_files(), before + idle.size() + kMaxStrangers + 2);
  }
  expect_rank_is_admitted();
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
