/** The styles of every page. All pairs of colours that carry text have a contrast of at least 4.5 (WCAG AA). */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --text: #1b2027; --quiet: #57606b; --line: #dcdfe3; --link: #0a5a9c;
  --good: #14692f; --good-back: #e9f6ec; --soon: #7d4a00; --soon-back: #fdf3dd; --bad: #a3122a; --bad-back: #fdecee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101419; --card: #171c23; --text: #e6e9ed; --quiet: #a0aab6; --line: #313a45; --link: #7cbcf8;
    --good: #6fd58b; --good-back: #14291b; --soon: #ecbc62; --soon-back: #2d240f; --bad: #ff9a9f; --bad-back: #361a1e;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 68rem; padding: 0 1.25rem 3rem; background: var(--page); color: var(--text);
  font: 1rem/1.55 system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'Liberation Sans', sans-serif;
}
a { color: var(--link); text-underline-offset: 0.15em; }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
main:focus { outline: none; }
.skip { position: absolute; left: -100rem; background: var(--card); padding: 0.5rem 1rem; }
.skip:focus { left: 1rem; top: 0.5rem; z-index: 1; }
header { padding: 2rem 0 1.25rem; }
h1 { font-size: 1.6rem; line-height: 1.25; font-weight: 650; margin: 0.2rem 0 0.4rem; overflow-wrap: anywhere; letter-spacing: -0.01em; }
h2 { font-size: 1.12rem; font-weight: 650; margin: 0 0 0.9rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 0 0 0.2rem; overflow-wrap: anywhere; }
p { margin: 0.4rem 0; }
.quiet, footer { color: var(--quiet); }
.small { font-size: 0.875rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.25rem 1.4rem 1.35rem; margin: 0 0 1.1rem; }
footer { font-size: 0.875rem; padding: 0.5rem 0; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; list-style: none; margin: 0.9rem 0 0; padding: 0; font-size: 0.9rem; }
code, .name, .id { font-family: ui-monospace, 'SF Mono', Menlo, Consolas, 'Liberation Mono', monospace; font-size: 0.875em; overflow-wrap: anywhere; }
.name { unicode-bidi: isolate; }
.id { color: var(--quiet); }
.mark {
  display: inline-flex; align-items: center; justify-content: center; flex: none; width: 1.35em; height: 1.35em;
  border-radius: 50%; font-size: 0.85em; font-weight: 700; line-height: 1; margin-right: 0.5em; border: 1.5px solid currentColor;
}
.state { display: inline-flex; align-items: center; font-weight: 600; }
.good { color: var(--good); } .soon { color: var(--soon); } .bad { color: var(--bad); }
.verdict { display: flex; align-items: center; gap: 0.9rem; padding: 1rem 1.2rem; border-radius: 10px; font-size: 1.12rem; font-weight: 600; border: 1px solid currentColor; margin: 0 0 1.1rem; }
.verdict .mark { font-size: 1.25rem; margin: 0; }
.verdict.good { background: var(--good-back); } .verdict.soon { background: var(--soon-back); } .verdict.bad { background: var(--bad-back); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1.1rem; margin: 0.7rem 0 0; font-size: 0.9rem; }
dt { color: var(--quiet); } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.points { list-style: none; margin: 0; padding: 0; display: grid; gap: 0.7rem; }
.points > li { border-left: 4px solid currentColor; border-radius: 4px; padding: 0.55rem 0.9rem 0.65rem; }
.points > .soon { background: var(--soon-back); } .points > .bad { background: var(--bad-back); } .points > .good { background: var(--good-back); }
.points p { color: var(--text); overflow-wrap: anywhere; margin: 0.15rem 0; }
th .quiet { font-weight: 400; }
.points .what { font-weight: 600; } .points h3 { color: var(--text); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; }
caption { text-align: left; color: var(--quiet); padding-bottom: 0.5rem; font-size: 0.875rem; }
th, td { text-align: left; vertical-align: top; padding: 0.5rem 1rem 0.5rem 0; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--quiet); font-weight: 600; font-size: 0.82rem; white-space: nowrap; }
tbody th { font-weight: 600; overflow-wrap: anywhere; min-width: 9.5rem; }
th:last-child, td:last-child { padding-right: 0; }
td > .id { display: inline-block; min-width: 14rem; font-size: 0.8em; }
td time { white-space: nowrap; }
td:last-child { min-width: 8rem; }
td ul, .plain { list-style: none; margin: 0; padding: 0; }
.history { list-style: none; margin: 0; padding: 0 0 0 1.1rem; border-left: 2px solid var(--line); display: grid; gap: 0.9rem; }
.history > li { position: relative; }
.history > li::before { content: ''; position: absolute; left: calc(-1.1rem - 6px); top: 0.5em; width: 10px; height: 10px; border-radius: 50%; background: var(--card); border: 2px solid var(--quiet); }
.history p { margin: 0.1rem 0; overflow-wrap: anywhere; }
.counts { display: flex; flex-wrap: wrap; gap: 0.8rem; list-style: none; margin: 0 0 1.1rem; padding: 0; }
.counts li { flex: 1 1 9rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 0.8rem 1.1rem; }
.counts strong { display: block; font-size: 1.7rem; font-weight: 650; line-height: 1.2; font-variant-numeric: tabular-nums; }
summary { cursor: pointer; color: var(--link); margin-top: 0.8rem; font-size: 0.92rem; }
details[open] summary { margin-bottom: 0.6rem; }
svg { display: block; width: 100%; height: auto; font: 13px system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'Liberation Sans', sans-serif; }
svg text { fill: var(--text); } svg .faint { fill: var(--quiet); } svg .strong { font-weight: 650; font-size: 14px; }
svg .mono { font-family: ui-monospace, 'SF Mono', Menlo, Consolas, 'Liberation Mono', monospace; font-size: 12px; }
svg .box { fill: var(--page); stroke: var(--line); } svg .edge { fill: none; stroke: var(--quiet); stroke-width: 1.25; }
svg .grid { stroke: var(--line); } svg .now { stroke: var(--text); stroke-width: 1.5; }
svg .fill-good { fill: var(--good); } svg .fill-soon { fill: var(--soon); } svg .fill-bad { fill: var(--bad); }
svg .ring { fill: none; stroke: var(--quiet); stroke-width: 1.5; } svg .tick { fill: none; stroke: var(--card); stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
svg .line-good { stroke: var(--good); } svg .line-soon { stroke: var(--soon); } svg .line-bad { stroke: var(--bad); }
svg .bar { stroke-width: 5; stroke-linecap: round; }
.narrow { display: none; }
.legend { font-size: 0.85rem; color: var(--quiet); margin-top: 0.7rem; }
@media (max-width: 46rem) {
  body { padding: 0 0.8rem 2rem; }
  header { padding-top: 1.2rem; }
  h1 { font-size: 1.3rem; }
  section { padding: 1rem; }
  .wide { display: none; } .narrow { display: block; max-width: 26rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 0.4rem; }
  table, caption, tbody, tr, th, td { display: block; }
  td > .id { min-width: 0; } td:last-child { min-width: 0; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { border-top: 1px solid var(--line); padding: 0.65rem 0; }
  tbody tr:first-child { border-top: 0; padding-top: 0; }
  th, td { border: 0; padding: 0.12rem 0; }
  td[data-label]::before { content: attr(data-label) ': '; color: var(--quiet); font-size: 0.85rem; }
  td:empty { display: none; }
}
@media print {
  :root { --page: #fff; }
  body { max-width: none; } section { break-inside: avoid; } nav, .skip { display: none; }
}
@media (forced-colors: active) { .verdict, .points > li { border-color: CanvasText; } }
`;
