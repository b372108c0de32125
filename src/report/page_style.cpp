#include "page_style.hpp"

namespace simclr {

std::string_view page_style() {
  return R"css(:root {
  --page: #f6f7f9; --card: #fff; --text: #1d2530; --quiet: #5d6877; --rule: #e2e6eb;
  --good: #1b7f4d; --busy: #2364aa; --warn: #9a5b00; --bad: #b3261e;
  --c0: #2f6db5; --c1: #d9822b; --c2: #2e9d7a; --c3: #b5568f; --c4: #7a68c9; --c5: #b4bcc8;
}
@media (prefers-color-scheme: dark) { :root {
  --page: #12161c; --card: #1a2029; --text: #e4e9f0; --quiet: #9aa6b6; --rule: #2c3541;
  --good: #5fcf98; --busy: #7db4f2; --warn: #e8ac5a; --bad: #ff8a80;
  --c0: #6fa8e8; --c1: #eda65c; --c2: #5cc7a3; --c3: #d987b6; --c4: #a597ee; --c5: #556172;
} }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: 1.5rem clamp(0.75rem, 3vw, 2rem) 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0.6rem 0 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.8rem; }
h3 { font-size: 0.95rem; margin: 0; }
h3 small { color: var(--quiet); font-weight: 400; font-size: inherit; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 0.3rem; }
header p { flex-basis: 100%; margin: 0.2rem 0 0; color: var(--quiet); }
.status { border: 1px solid; border-radius: 99px; padding: 0 0.7rem; font-size: 0.85rem; }
.finished { color: var(--good); } .running { color: var(--busy); }
.stopped-early { color: var(--warn); } .failed { color: var(--bad); }
.tiles, .charts { display: grid; gap: 0.8rem; margin-top: 1rem; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(min(100%, 9.5rem), 1fr)); }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.tiles div, figure, .card { background: var(--card); border: 1px solid var(--rule);
  border-radius: 10px; padding: 0.8rem 1rem; margin: 0; }
.tiles b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.tiles span, .note, .summary, footer { color: var(--quiet); font-size: 0.85rem; }
.summary { margin: 0.3rem 0 0; }
.legend { margin: 0.2rem 0 0; font-size: 0.8rem; color: var(--quiet); }
.legend span { display: inline-block; margin-right: 0.8rem; white-space: nowrap; }
.legend i { display: inline-block; width: 0.7em; height: 0.7em; border-radius: 2px;
  margin-right: 0.35em; background: var(--c); }
.s0 { --c: var(--c0); } .s1 { --c: var(--c1); } .s2 { --c: var(--c2); }
.s3 { --c: var(--c3); } .s4 { --c: var(--c4); } .s5 { --c: var(--c5); }
svg { display: block; width: 100%; height: auto; margin-top: 0.4rem; }
svg text { fill: var(--quiet); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); }
.curve { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; }
circle { fill: var(--c); }
.layer { fill: var(--c); stroke: var(--c); stroke-width: 0.5; fill-opacity: 0.9; }
.level { stroke: var(--quiet); stroke-dasharray: 5 4; }
svg text.level { stroke: none; }
.mark { stroke: var(--warn); stroke-dasharray: 2 3; }
.tip { fill: transparent; }
.tip:hover { fill: var(--quiet); fill-opacity: 0.12; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.4rem 0.8rem 0.4rem 0; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
th { color: var(--quiet); font-weight: 500; }
td:last-child, th:last-child { padding-right: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
dl { margin: 0; display: grid; gap: 0.35rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); font-size: 0.9rem; }
dl div { display: flex; gap: 0.8rem; border-bottom: 1px solid var(--rule); padding-bottom: 0.35rem; }
dt { color: var(--quiet); flex: 0 0 9.5rem; }
dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
img { display: block; width: 100%; height: auto; border-radius: 6px; }
details { margin-top: 0.8rem; }
summary { cursor: pointer; color: var(--busy); font-size: 0.9rem; margin-bottom: 0.6rem; }
footer { margin-top: 2.5rem; }
@media print { figure { break-inside: avoid; } }
)css";
}

}  // namespace simclr
