/** The page's style sheet. Colours of encoders and stages: see palette.ts. */
import { stageColors } from "./palette.ts";

/** Dots of the feature map: a colour for each of the largest groups; pointing at one in the legend fades the others. */
const groups = [...stageColors, "var(--base-1)"]
  .map(
    (color, i) =>
      `.g${i} { --group: ${color}; } .feature-map:has(.k${i}:hover) .map input:not(.g${i}) { opacity: 0.12; }\n`,
  )
  .join("");

export const style = `
:root {
  color-scheme: light dark;
  --paper: #fdfcfa; --card: #ffffff; --ink: #1d2126; --quiet: #666d75; --line: #e7e4de; --faint: #f3f1ec;
  --hit: #267b50; --warn: #96590a; --warn-paper: #fdf3e2;
  --base-1: #6b7179; --base-2: #85704f; --stage-1: #2f64ad; --stage-2: #b9520f; --stage-3: #7a54a8; --stage-4: #1b7a6f;
  --stage-5: #b93a77; --stage-6: #8a6a10; --stage-7: #3f7a22; --stage-8: #a5382f;
  --heat-hit: #84bd9c; --heat-miss: #e9a06a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --card: #1c1f23; --ink: #e6e4df; --quiet: #9aa0a8; --line: #2d3136; --faint: #22262b;
    --hit: #57b987; --warn: #e5b062; --warn-paper: #2b2418;
    --base-1: #8f959e; --base-2: #b39f84; --stage-1: #74a5e8; --stage-2: #ee9055; --stage-3: #b394de; --stage-4: #5cbfb1;
    --stage-5: #e78ab6; --stage-6: #d1b04f; --stage-7: #8cc76c; --stage-8: #ef8077;
    --heat-hit: #2c6a49; --heat-miss: #8f4a1c;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 56px 28px 72px; max-width: 1096px; background: var(--paper); color: var(--ink);
  font: 16px/1.55 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1, h2, h3, p, dl, dd, figure, pre, ul { margin: 0; }
h1 { font-size: 34px; line-height: 1.15; letter-spacing: -0.02em; font-weight: 650; overflow-wrap: anywhere; }
h2 { font-size: 21px; line-height: 1.3; letter-spacing: -0.01em; font-weight: 650; }
h3 { font-size: 15px; font-weight: 600; }
section { margin-top: 64px; }
.lead { max-width: 68ch; margin-top: 10px; color: var(--quiet); }
.eyebrow, dt, thead th, .small-title { font-size: 13px; color: var(--quiet); font-weight: 500; }
.eyebrow { margin-bottom: 6px; }
code, pre { font: 13px/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { overflow-x: auto; padding: 14px 16px; border-radius: 8px; background: var(--faint); }
.number, td, dd { font-variant-numeric: tabular-nums; }

.headline { display: flex; flex-wrap: wrap; gap: 20px 0; margin-top: 40px; }
.headline > div { padding-right: 36px; }
.headline > div + div { padding-left: 36px; border-left: 1px solid var(--line); }
.headline .number { display: block; font-size: 44px; line-height: 1.15; letter-spacing: -0.03em; font-weight: 600; }
.headline .name { font-size: 14px; color: var(--quiet); }
.headline + p { margin-top: 14px; font-size: 14px; color: var(--quiet); max-width: 80ch; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 212px), 1fr)); gap: 18px 24px; }
header .facts { margin-top: 40px; padding-top: 24px; border-top: 1px solid var(--line); }
.facts dd { overflow-wrap: anywhere; line-height: 1.4; }
.command { margin-top: 28px; }
.command .small-title { margin-bottom: 6px; }
.command pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.warnings { margin-top: 32px; padding: 14px 18px; border-radius: 8px; background: var(--warn-paper); color: var(--warn); }
.warnings ul { padding-left: 18px; }

table { width: 100%; margin-top: 24px; border-collapse: collapse; --columns: 4; }
th { text-align: left; font-weight: 400; }
thead th { padding: 0 0 8px 28px; vertical-align: bottom; line-height: 1.3; }
thead th i { display: inline-block; width: 8px; height: 8px; margin-right: 7px; border-radius: 50%; }
tbody th { padding: 13px 0; line-height: 1.35; }
tbody th i { display: inline-block; width: 8px; height: 8px; margin-right: 9px; border-radius: 50%; }
.wide { overflow-x: auto; }
.wide table { min-width: 900px; }
.wide td small { display: block; white-space: nowrap; }
.drawing { max-width: 820px; margin-top: 20px; }
.drawing svg { min-width: 620px; }
tbody th small { display: block; color: var(--quiet); font-size: 13px; }
td { padding: 13px 0 13px 28px; width: calc(62% / var(--columns)); vertical-align: top; }
tbody tr { border-top: 1px solid var(--line); }
td b { font-weight: 700; }
td small { color: var(--quiet); font-size: 12px; }
.bar { position: relative; display: block; height: 4px; margin-top: 5px; border-radius: 2px; background: var(--faint); }
.bar i { position: absolute; inset: 0 auto 0 0; border-radius: 2px; }
.bar u { position: absolute; top: -2px; bottom: -2px; width: 1.5px; background: var(--quiet); }
.notes { margin-top: 16px; font-size: 14px; color: var(--quiet); max-width: 80ch; }
.notes p + p { margin-top: 4px; }

.stages { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 48px 56px; margin-top: 28px; }
.stages h3 { margin-bottom: 2px; }
.stages h3 i { display: inline-block; width: 9px; height: 9px; margin-right: 8px; border-radius: 50%; }
.stages h3 + p { font-size: 14px; color: var(--quiet); margin-bottom: 18px; }
.stages.single article { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 0 56px; }
.stages.single .title { grid-column: 1 / -1; }
.multiples { display: grid; grid-template-columns: 1fr 1fr; gap: 18px 24px; margin-top: 18px; align-content: start; }
.stages.single .multiples { margin-top: 0; }
.small-title { line-height: 1.3; }
svg.plot { display: block; width: 100%; height: auto; overflow: visible; }
svg.plot text { white-space: pre; }
.beside { display: grid; grid-template-columns: minmax(0, 540px) minmax(0, 1fr); gap: 32px 56px; margin-top: 20px; }
.key { font-size: 15px; line-height: 1.5; align-self: center; }
.key p { padding-left: 18px; position: relative; }
.key p + p { margin-top: 14px; }
.groups { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr)); gap: 20px 40px; margin-top: 28px; }
.beside figcaption { margin-bottom: 8px; font-size: 14px; color: var(--quiet); }
.part .multiples figcaption b { display: block; color: var(--ink); font-size: 14px; font-weight: 600; }
.part .multiples figcaption { min-height: 53px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin-top: 12px; padding: 0; list-style: none; font-size: 14px; line-height: 1.5; }
.legend i { display: inline-block; width: 9px; height: 9px; margin-right: 7px; border-radius: 50%; background: var(--group); }
.part { margin-top: 40px; }
.stages .part { margin-top: 12px; }
.part h3 { font-size: 16px; }
.part h3 + p { max-width: 80ch; font-size: 14px; color: var(--quiet); }
.scale { display: inline-block; width: 64px; height: 10px; margin: 0 3px; border-radius: 2px; background: linear-gradient(90deg, var(--paper), var(--stage-1)); outline: 1px solid var(--line); }
.key i.dash { height: 0; top: 11px; border-radius: 0; border-top: 2px dotted var(--quiet); }
.key i { position: absolute; left: 0; top: 7px; width: 9px; height: 9px; border-radius: 50%; }

img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated; background: #fff; border-radius: 6px; }
.triples { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 26px 36px; margin-top: 24px; }
.triple { display: grid; grid-template-columns: repeat(3, 96px); gap: 6px; }
.triple figcaption { grid-column: 1 / -1; font-size: 12px; color: var(--quiet); overflow: hidden; white-space: nowrap; text-overflow: ellipsis; max-width: 300px; }
.neighbours { margin-top: 24px; }
.query { display: grid; grid-template-columns: 64px repeat(var(--columns), minmax(0, 1fr)); gap: 0 36px; padding: 12px 0; border-top: 1px solid var(--line); align-items: center; }
.query.names { border-top: 0; padding: 0 0 8px; font-size: 13px; color: var(--quiet); line-height: 1.35; }
.query.names b { display: block; font-weight: 600; font-size: 14px; }
.query > img, .query > .first { grid-column: 1; }
.strip { display: grid; grid-template-columns: repeat(5, minmax(0, 48px)); gap: 7px; }
.strip img { opacity: 0.55; }
.strip .hit { opacity: 1; outline: 2px solid var(--hit); outline-offset: 1px; }
.strip .plain { opacity: 1; }
.strip .who { display: none; }

.looks { display: grid; overflow-x: auto; grid-template-columns: 84px repeat(8, minmax(0, 112px)); gap: 18px 10px; margin-top: 18px; }
.look { display: grid; grid-template-rows: subgrid; grid-row: span var(--rows); gap: 6px; align-items: center; }
.look.names { font-size: 13px; line-height: 1.25; color: var(--quiet); }

.matrix { margin-top: 20px; }
.matrix svg { width: auto; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 32px 48px; margin-top: 36px; }
.pairs h3 span { color: var(--quiet); font-weight: 400; }
.pair { display: flex; flex-wrap: wrap; gap: 10px 26px; margin-top: 2px; }
.pair .strip { display: flex; gap: 6px; margin-top: 5px; }
.pair .strip img { width: 46px; opacity: 1; }

.map { position: relative; aspect-ratio: 1; margin-top: 6px; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.maps { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: 28px 24px; margin-top: 20px; }
.maps figure { max-width: 620px; }
.map input { appearance: none; position: absolute; width: 9px; height: 9px; margin: -4.5px 0 0 -4.5px; border: 1px solid var(--card); border-radius: 50%; background: var(--group); cursor: pointer; }
.map input:is(:hover, :focus-visible) { z-index: 1; outline: 2px solid var(--ink); }
.map input:is(:hover, :focus-visible)::after {
  content: attr(aria-label); position: absolute; top: 14px; left: 14px; width: 132px; padding: 126px 8px 7px; pointer-events: none;
  font-size: 12px; line-height: 1.3; overflow-wrap: anywhere; color: var(--ink); border: 1px solid var(--line); border-radius: 8px;
  background: var(--image) no-repeat center 8px / 112px 112px, var(--card); image-rendering: pixelated; box-shadow: 0 4px 18px #0003;
}
.map input.e::after { left: auto !important; right: 14px; }
.map input.s::after { top: auto !important; bottom: 14px; }
.legend li[class] { cursor: default; }
${groups}
details { margin-top: 18px; }
summary { cursor: pointer; font-size: 15px; }
details pre, details ul { margin-top: 10px; }
.skipped { padding-left: 18px; font-size: 14px; color: var(--quiet); overflow-wrap: anywhere; }
footer { margin-top: 72px; padding-top: 18px; border-top: 1px solid var(--line); font-size: 13px; color: var(--quiet); }

@media (max-width: 720px) {
  body { padding: 32px 20px 48px; }
  h1 { font-size: 27px; }
  section { margin-top: 52px; }
  .headline { margin-top: 28px; flex-wrap: nowrap; }
  .headline > div { flex: 1; padding-right: 12px; }
  .headline > div + div { padding-left: 12px; }
  .headline .number { font-size: 26px; }
  .headline .name { font-size: 12px; line-height: 1.3; }
  header .facts, .facts { grid-template-columns: 1fr 1fr; }
  table, tbody, thead { display: block; }
  tr { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: 0 14px; }
  thead th:first-child { display: none; }
  tbody th { grid-column: 1 / -1; padding: 14px 0 8px; }
  td { width: auto; padding: 0 0 14px; font-size: 15px; }
  td small { display: block; line-height: 1.3; white-space: nowrap; }
  thead th { padding-left: 0; font-size: 12px; }
  .beside { grid-template-columns: 1fr; }
  .triples { grid-template-columns: 1fr; }
  .triple { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .query { grid-template-columns: 56px minmax(0, 1fr); gap: 10px 18px; align-items: start; }
  .query > img { grid-row: 1 / span var(--columns); }
  .query .strip { grid-column: 2; }
  .query.names { display: none; }
  .looks { grid-template-columns: 64px repeat(8, 76px); gap: 18px 8px; }
  .look.names { position: sticky; left: 0; font-size: 12px; background: var(--paper); }
  .maps { grid-template-columns: minmax(0, 1fr); }
  .strip .who { display: block; grid-column: 1 / -1; font-size: 12px; line-height: 1; color: var(--quiet); }
}
@media print { body { padding: 0; } section { break-inside: avoid; } }
`;
