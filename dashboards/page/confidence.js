// The difference canary minus baseline over time, with its confidence sequence.
//
// Drawn: the band from low to high, the estimate, the zero line, the margin line, and hatched the
// side beyond the margin on which harm is no longer acceptable.

import { h, s } from "./elements.js";
import { effectRange, scale, spread, thin, ticks } from "./axes.js";
import { markerLines, markerRows, plot, timeAxis, timeSpan, unique, wide } from "./plot.js";
import {
  figures,
  inUnit,
  measure,
  number,
  odds,
  places,
  spoken,
  segmentName,
  when,
} from "./words.js";

const SHOAL = 12;
const HEIGHT = 190; // of the plot area; less and a margin of half a point vanishes under its line

/** The chart as `{node, update({evidence, markers})}`, evidence being one metric's looks. */
export function confidenceChart() {
  const frame = plot({ label, draw, read });
  const caption = h("figcaption", {});
  const node = h("figure", { class: "confidence" }, caption, frame.node);
  return {
    node,
    update(data) {
      const by = unitOf(data.evidence);
      caption.replaceChildren(
        `Canary minus baseline ${inUnit(by.difference)} `,
        h(
          "span",
          { class: "keys" },
          KEYS.map(([kind, words]) => h("span", { class: "key" }, key(kind), words)),
        ),
      );
      frame.update(data);
    },
  };
}

const KEYS = [
  ["line", "estimate"],
  ["band", "confidence sequence"],
  ["harm", "beyond the margin"],
];

function key(kind) {
  const shapes = {
    line: s("path", { class: "estimate", d: "M0 6h18" }),
    band: s("rect", { class: "band", width: 18, height: 12 }),
    harm: s("path", { class: "hatch", d: "M2 12L10 0M8 12L16 0M-4 12L4 0M14 12L22 0" }),
  };
  return s("svg", { class: "swatch", viewBox: "0 0 18 12", "aria-hidden": "true" }, shapes[kind]);
}

function unitOf(evidence) {
  const [bottom, top] = effectRange(evidence);
  return measure(evidence, Math.max(Math.abs(bottom), Math.abs(top)));
}

function label({ evidence }) {
  return `${spoken(evidence.metric)}, ${segmentName(evidence.segment)}: difference over time`;
}

function read({ evidence }, index) {
  const { effect, low, high, e_value: harm, e_safe: safe } = evidence;
  const said = figures(evidence, { effect: effect[index], low: low[index], high: high[index] });
  const interval = said.interval === "unknown" ? "" : ` (${said.interval})`;
  return (
    `${when(evidence.at[index])}: ${said.effect}${interval}, ` +
    `harm ${odds(harm[index])}, safety ${odds(safe[index])}`
  );
}

function draw({ evidence, markers }, width) {
  const by = unitOf(evidence);
  const [floor, ceiling] = effectRange(evidence);
  const span = timeSpan(evidence.at, markers);
  const round = ticks(floor * by.factor, ceiling * by.factor, 5);
  const names = round.map((value) => (value ? number(value, places(round), { sign: true }) : "0"));
  const left = Math.ceil(Math.max(...names.map(wide), 20)) + 10;
  const right = width - (width < 460 ? 52 : 76);
  const x = scale(...span, left, right);
  const flags = markerRows(markers, x, width - 2);
  const top = flags.depth + 6;
  const bottom = top + HEIGHT;
  const y = scale(floor, ceiling, bottom, top);
  const area = { left, right, top, bottom };
  const axis = timeAxis(x, span, area);
  const grid = round.flatMap((value, index) => {
    const at = y(value / by.factor);
    return [
      s("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }),
      s("text", { class: "tick", x: left - 7, y: at + 4, "text-anchor": "end" }, names[index]),
    ];
  });
  const kept = thin(evidence.at.length, width);
  return {
    nodes: [
      ...harmSide(evidence, y, area),
      ...grid,
      ...band(evidence, kept, x, y, area),
      ...lines(evidence, y, area, width < 460),
      ...markerLines(markers, x, flags, bottom),
      ...axis.nodes,
    ],
    height: bottom + axis.depth,
    times: evidence.at,
    x,
    top,
    bottom,
    spots: (index) => {
      const at = evidence.effect[index];
      return Number.isFinite(at) && at >= floor && at <= ceiling ? [[y(at), "canary"]] : [];
    },
  };
}

function harmSide({ margin, worse }, y, { left, right, top, bottom }) {
  if (!Number.isFinite(margin)) return [];
  const edge = Math.max(top, Math.min(bottom, y(margin)));
  const [from, to] = worse === "higher" ? [top, edge] : [edge, bottom];
  const id = unique("hatch");
  const box = { x: left, y: from, width: right - left, height: Math.max(0, to - from) };
  // Hatched along the line, as on a chart of shoals: hatching the whole side would drown the band.
  const deep = Math.min(SHOAL, box.height);
  const strip = { ...box, y: worse === "higher" ? edge - deep : edge, height: deep };
  const hatch = s(
    "pattern",
    { id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    s("path", { class: "hatch", d: "M0 0V5" }),
  );
  return [
    s("defs", {}, hatch),
    s("rect", { class: "harm", ...box }),
    s("rect", { ...strip, fill: `url(#${id})` }),
  ];
}

function lines({ margin }, y, { left, right, top, bottom }, narrow) {
  const found = [[0, narrow ? "zero" : "no change", "zero"]];
  if (Number.isFinite(margin)) found.push([margin, "margin", "margin"]);
  const heights = spread(
    found.map(([value]) => y(value) + 4),
    13,
    top + 6,
    bottom,
  );
  return found.flatMap(([value, name, kind], index) => [
    s("line", { class: kind, x1: left, x2: right, y1: y(value), y2: y(value) }),
    s("text", { class: `edge ${kind}-name`, x: right + 6, y: heights[index] }, name),
  ]);
}

// Far outside the picture and still a number that a path takes.
const FAR = 1e5;
const within = (height) => Math.max(-FAR, Math.min(FAR, height));

function band({ at, effect, low, high }, kept, x, y, { left, right, top, bottom }) {
  const far = (value, end) => (Number.isFinite(value) ? within(y(value)) : end);
  const runs = [];
  let run = null;
  for (const index of kept) {
    const open = !Number.isFinite(low[index]) && !Number.isFinite(high[index]);
    if (open) run = null;
    else {
      if (run === null) runs.push((run = []));
      run.push([x(at[index]), far(high[index], -FAR), far(low[index], FAR)]);
    }
  }
  const id = unique("plot");
  const shapes = runs.map((points) => {
    if (points.length === 1) points.push([points[0][0] + 2, points[0][1], points[0][2]]);
    const upper = points.map(([px, high]) => `${px.toFixed(1)} ${high.toFixed(1)}`);
    const lower = points.map(([px, , low]) => `${px.toFixed(1)} ${low.toFixed(1)}`);
    return [
      s("path", { class: "band", d: `M${upper.join("L")}L${[...lower].reverse().join("L")}Z` }),
      s("path", { class: "bound", d: `M${upper.join("L")}M${lower.join("L")}` }),
    ];
  });
  const clip = s(
    "clipPath",
    { id },
    s("rect", { x: left, y: top, width: right - left, height: bottom - top }),
  );
  const estimate = s("path", { class: "estimate", d: path(at, effect, kept, x, y) });
  return [
    s("defs", {}, clip),
    s("g", { class: "sequence", "clip-path": `url(#${id})` }, shapes.flat(), estimate),
  ];
}

function path(at, values, kept, x, y) {
  let drawn = "";
  let pen = "M";
  for (const index of kept) {
    if (Number.isFinite(values[index])) {
      drawn += `${pen}${x(at[index]).toFixed(1)} ${within(y(values[index])).toFixed(1)}`;
      pen = "L";
    } else pen = "M";
  }
  return drawn;
}
