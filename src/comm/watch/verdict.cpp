#include "verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace simclr::watch {
namespace {

using State = RankRecord::State;
using Ranks = std::vector<const RankRecord*>;

constexpr std::size_t kMaxNamed = 8;

/// Joins descriptions as "A; B; C", and many as "A; ...; and 12 more".
template <class Describe>
std::string list(const Ranks& ranks, const Describe& describe) {
  std::string text;
  for (std::size_t i = 0; i < std::min(ranks.size(), kMaxNamed); ++i) {
    text += (i > 0 ? "; " : "") + describe(*ranks[i]);
  }
  if (ranks.size() > kMaxNamed) text += fmt::format("; and {} more", ranks.size() - kMaxNamed);
  return text;
}

auto place(const RankRecord& rank) { return std::tuple(rank.at.phases, rank.at.op); }

/// Returns the ranks at the earliest position among those that do not wait for others, or among all
/// if all wait.
Ranks furthest_behind(const Ranks& ranks) {
  Ranks suspects;
  std::ranges::copy_if(ranks, std::back_inserter(suspects),
                       [](const RankRecord* r) { return !r->at.waits; });
  if (suspects.empty()) suspects = ranks;
  const RankRecord* last = *std::ranges::min_element(
      suspects, [](const auto* a, const auto* b) { return place(*a) < place(*b); });
  std::erase_if(suspects, [&](const RankRecord* r) { return place(*r) != place(*last); });
  return suspects;
}

}  // namespace

void RankRecord::update(const Whereabouts& news, double now) {
  heard_at = now;
  if (state == State::present && news == at) return;
  at = news;
  moved_at = now;
}

Ranks lost_ranks(const std::vector<RankRecord>& ranks, double now, double silence_seconds) {
  Ranks lost;
  for (const RankRecord& rank : ranks) {
    const bool silent = rank.state == State::present && now - rank.heard_at > silence_seconds;
    if (silent || rank.state == State::closed) lost.push_back(&rank);
  }
  return lost;
}

Fault lost_fault(const Ranks& lost, double now) {
  return {Cause::lost_rank, list(lost, [&](const RankRecord& rank) {
            const std::string why =
                rank.state == State::closed
                    ? "its process has ended or closed its connection"
                    : fmt::format("nothing heard from it for {:.0f} s", now - rank.heard_at);
            return fmt::format("rank {} on {} is lost at {}: {}", rank.rank, rank.host,
                               to_text(rank.at), why);
          })};
}

std::optional<Fault> stalled_fault(const std::vector<RankRecord>& ranks, double now,
                                   double timeout_seconds, double news_seconds) {
  Ranks present;
  for (const RankRecord& rank : ranks) {
    if (rank.state != State::present) continue;
    if (now - rank.moved_at <= timeout_seconds || now - rank.heard_at > news_seconds) return {};
    present.push_back(&rank);
  }
  if (present.empty()) return {};
  const Ranks late = furthest_behind(present);
  const std::string nothing_moves =
      fmt::format("nothing has moved for {:g} s (--timeout-seconds)", timeout_seconds);
  if (late.size() == present.size() && present.size() > 1) {
    return Fault{Cause::stalled,
                 fmt::format("{}, and no rank is behind the others: all {} are at {}",
                             nothing_moves, present.size(), to_text(late.front()->at))};
  }
  const std::string culprits = list(late, [](const RankRecord& rank) {
    return fmt::format("rank {} on {} is late at {}", rank.rank, rank.host, to_text(rank.at));
  });
  const auto ahead = std::ranges::find_if(
      present, [&](const auto* r) { return std::ranges::find(late, r) == late.end(); });
  if (ahead == present.end()) return Fault{Cause::stalled, culprits + ": " + nothing_moves};
  return Fault{Cause::stalled, fmt::format("{}: {}; rank {} is at {}", culprits, nothing_moves,
                                           (*ahead)->rank, to_text((*ahead)->at))};
}

}  // namespace simclr::watch
