// A business series: baseline and canary over time, one lane each, deployment markers across both.
//
// Two lanes and not two lines on one axis: a canary with a tenth of the traffic would lie flat at
// the bottom. Each lane starts at zero and has its own axis; what is compared is the shape.

import { h, s } from "./elements.js";
import { scale, ticks } from "./axes.js";
import { markerLines, markerRows, plot, timeAxis, timeSpan, unique } from "./plot.js";
import { count, measure, number, span as spanned, spoken, when } from "./words.js";

const LANE = 64;
const GAP = 16;
const SIDES = ["baseline", "canary"];

/** The chart as `{node, update({series, markers, watermark})}`. */
export function seriesChart() {
  const frame = plot({ label: ({ series }) => `${spoken(series.metric)} over time`, draw, read });
  const title = h("figcaption", {});
  const node = h("figure", { class: "series" }, title, frame.node);
  return {
    node,
    update(data) {
      const { metric, unit } = data.series;
      const merged = `${unit === "1" ? "" : `${unit} `}per ${spanned(data.series.width_ms / 1000)}`;
      title.replaceChildren(h("b", { title: metric }, spoken(metric)), ` ${merged}`);
      frame.update(data);
    },
  };
}

function written(series, value) {
  if (!Number.isFinite(value)) return "unknown";
  const by = measure(series, value);
  if (by.factor === 1) return count(Math.round(value * 100) / 100);
  return `${number(value * by.factor, 1)} ${by.level}`;
}

function read({ series, watermark }, index) {
  const at = series.at[index];
  const open =
    Number.isFinite(watermark) && at + series.width_ms > watermark ? ", still filling" : "";
  const [baseline, canary] = SIDES.map((side) => written(series, series[side][index]));
  return `${when(at)}${open}: baseline ${baseline}, canary ${canary}`;
}

function draw({ series, markers, watermark }, width) {
  const { at, width_ms: step } = series;
  const ends = at.length ? [...at, at.at(-1) + step] : at;
  const span = timeSpan(ends, markers);
  const left = 52;
  const right = width - (width < 460 ? 52 : 76);
  const x = scale(...span, left, right);
  const flags = markerRows(markers, x, right);
  const top = flags.depth + 6;
  const lanes = SIDES.map((side, index) => {
    const lane = { left, right, top: top + index * (LANE + GAP), side };
    return { ...lane, bottom: lane.top + LANE };
  });
  const bottom = lanes.at(-1).bottom;
  const axis = timeAxis(x, span, { left, right, bottom });
  const filled = Number.isFinite(watermark)
    ? at.filter((start) => start + step <= watermark).length
    : at.length;
  const drawn = lanes.map((lane) => drawLane(lane, series, x, filled));
  return {
    nodes: [
      ...drawn.flatMap(({ nodes }) => nodes),
      ...markerLines(markers, x, flags, bottom),
      ...axis.nodes,
    ],
    height: bottom + axis.depth,
    times: at,
    x: (time) => x(time + step / 2),
    top,
    bottom,
    spots: (index) =>
      drawn.flatMap(({ y, side }) => {
        const value = series[side][index];
        return Number.isFinite(value) ? [[y(value), side]] : [];
      }),
  };
}

function drawLane({ left, right, top, bottom, side }, series, x, filled) {
  const { at, width_ms: step, [side]: values } = series;
  const known = values.filter(Number.isFinite);
  const low = Math.min(0, ...extent(known));
  const high = Math.max(...extent(known), low + Number.MIN_VALUE) || 1;
  const y = scale(low, high * 1.06, bottom, top);
  const by = measure(series, high);
  const grid = ticks(low * by.factor, high * by.factor, 2).flatMap((value) => {
    const height = y(value / by.factor);
    const places = Number.isInteger(value) ? 0 : 2;
    const name = Math.abs(value) >= 1e4 ? count(value) : number(value, places);
    return [
      s("line", {
        class: value === 0 ? "axis" : "grid",
        x1: left,
        x2: right,
        y1: height,
        y2: height,
      }),
      s("text", { class: "tick", x: left - 7, y: height + 4, "text-anchor": "end" }, name),
    ];
  });
  const id = unique("lane");
  const clip = s(
    "clipPath",
    { id },
    s("rect", { x: left, y: top - 2, width: right - left, height: bottom - top + 2 }),
  );
  const parts = [
    steps(at, values, step, 0, filled, x, y),
    steps(at, values, step, filled, at.length, x, y),
  ];
  const shapes = parts.flatMap(({ area, line }, index) => [
    s("path", { class: `area ${side}${index ? " filling" : ""}`, d: area }),
    s("path", { class: `crest ${side}${index ? " filling" : ""}`, d: line }),
  ]);
  const name = s(
    "text",
    { class: `edge lane-name ${side}-name`, x: right + 6, y: bottom - 3 },
    side,
  );
  return {
    nodes: [...grid, s("defs", {}, clip), s("g", { "clip-path": `url(#${id})` }, shapes), name],
    y,
    side,
  };
}

function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return values.length ? [low, high] : [0];
}

/** Buckets as steps; where several fall on one pixel they are averaged, so nothing is hidden. */
function steps(at, values, step, from, to, x, y) {
  const pixels = at.length ? Math.abs(x(at[0] + step) - x(at[0])) : 1;
  const merged = Math.max(1, Math.ceil(1.5 / Math.max(pixels, 1e-9)));
  let area = "";
  let line = "";
  let pen = null;
  for (let k = from; k < to; k += merged) {
    const some = values.slice(k, Math.min(to, k + merged)).filter(Number.isFinite);
    const start = x(at[k]).toFixed(1);
    const end = x(at[Math.min(to, k + merged) - 1] + step).toFixed(1);
    if (!some.length) {
      pen = null;
      continue;
    }
    const height = y(some.reduce((sum, value) => sum + value, 0) / some.length).toFixed(1);
    area += `M${start} ${y(0).toFixed(1)}V${height}H${end}V${y(0).toFixed(1)}Z`;
    line += pen === start ? `V${height}H${end}` : `M${start} ${height}H${end}`;
    pen = end;
  }
  return { area, line };
}
