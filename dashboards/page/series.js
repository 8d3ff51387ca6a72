// A business series: baseline and canary over time, with the deployment markers drawn on.
//
// Counts get two lanes and not two lines on one axis: a canary with a tenth of the traffic would
// lie flat at the bottom. Each lane starts at zero; what is compared is the shape. Levels (a
// share, a median) share one axis that need not start at zero, for what is compared is the level.

import { h, s } from "./elements.js";
import { scale, spread, thin, ticks } from "./axes.js";
import { markerLines, markerRows, plot, timeAxis, timeSpan, unique } from "./plot.js";
import {
  count,
  decimals,
  measure,
  number,
  places,
  span as spanned,
  spoken,
  when,
} from "./words.js";

const LANE = 64;
const GAP = 16;
const SIDES = ["baseline", "canary"];
const DOTS = 60; // points up to which each is marked; more would run into one another
const MOST = 600; // points on one line; a drawing is no wider
const LEVELS = new Set(["1", "s", "ms"]);

/** The chart as `{node, update({series, markers, watermark})}`. */
export function seriesChart() {
  const frame = plot({ label: ({ series }) => `${spoken(series.metric)} over time`, draw, read });
  const title = h("figcaption", {});
  const node = h("figure", { class: "series" }, title, frame.node);
  return {
    node,
    update(data) {
      const { metric, unit, width_ms: step } = data.series;
      const what = { 1: "share", s: "median", ms: "median" }[unit] ?? unit;
      const every = `${what}, every ${spanned(step / 1000)}`;
      title.replaceChildren(h("b", { title: metric }, spoken(metric)), ` ${every}`);
      frame.update(data);
    },
  };
}

const isLevel = ({ unit, kind }) => kind !== "count" && LEVELS.has(unit);

function written({ unit }, value) {
  if (!Number.isFinite(value)) return "nothing";
  const by = measure({ unit }, value);
  if (by.factor === 1 && by.level === unit && !LEVELS.has(unit)) return count(value);
  const scaled = value * by.factor;
  return `${number(scaled, decimals(scaled / 10))} ${by.level}`;
}

function read({ series, watermark }, index) {
  const at = series.at[index];
  const open = Number.isFinite(watermark) && at + series.width_ms > watermark;
  const [baseline, canary] = SIDES.map((side) => written(series, series[side][index]));
  return `${when(at)}${open ? ", still filling" : ""}: baseline ${baseline}, canary ${canary}`;
}

function draw({ series, markers, watermark }, width) {
  const { at, width_ms: step } = series;
  const span = timeSpan(at.length ? [...at, at.at(-1) + step] : at, markers);
  const left = 52;
  const right = width - (width < 460 ? 54 : 76);
  const x = scale(...span, left, right);
  const flags = markerRows(markers, x, width - 2);
  const top = flags.depth + 6;
  const level = isLevel(series);
  const bottom = top + 2 * LANE + GAP;
  const axis = timeAxis(x, span, { left, right, bottom });
  const known = Number.isFinite(watermark);
  const filled = known ? at.filter((start) => start + step <= watermark).length : at.length;
  const box = { left, right, top, bottom, x, filled };
  const { nodes, spots } = level ? drawLevels(series, box) : drawCounts(series, box);
  return {
    nodes: [...nodes, ...markerLines(markers, x, flags, bottom), ...axis.nodes],
    height: bottom + axis.depth,
    times: at,
    x: (time) => x(time + step / 2),
    top,
    bottom,
    spots,
  };
}

function drawCounts(series, box) {
  const lanes = SIDES.map((side, index) => {
    const top = box.top + index * (LANE + GAP);
    const area = { ...box, top, bottom: top + LANE };
    const [low, high] = extent(series[side]);
    const y = scale(Math.min(0, low), Math.max(high, 0) * 1.06 || 1, area.bottom, area.top);
    const grid = gridLines(series, [Math.min(0, low), high || 1], 2, y, area);
    const shapes = lane(series, side, y, area);
    const name = sideName(side, box.right, area.bottom - 3);
    return { nodes: [...grid, ...shapes, name], y, side };
  });
  const spots = (index) => lanes.flatMap(({ y, side }) => spot(series, side, index, y));
  return { nodes: lanes.flatMap(({ nodes }) => nodes), spots };
}

function drawLevels(series, box) {
  const [low, high] = extent([...series.baseline, ...series.canary]);
  const pad = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  // A share is no more than everything, a time no less than nothing.
  const ceiling = series.unit === "1" && high <= 1 ? Math.min(1.005, high + pad) : high + pad;
  const floor = low >= 0 ? Math.max(0, low - pad) : low - pad;
  const y = scale(floor, ceiling, box.bottom, box.top);
  const grid = gridLines(series, [floor, ceiling], 4, y, box);
  const shapes = SIDES.flatMap((side) => levelLine(series, side, y, box));
  const ends = SIDES.map((side) => series[side].findLast(Number.isFinite) ?? floor);
  const heights = spread(
    ends.map((value) => y(value) + 4),
    13,
    box.top + 8,
    box.bottom,
  );
  const names = SIDES.map((side, index) => sideName(side, box.right, heights[index]));
  const spots = (index) => SIDES.flatMap((side) => spot(series, side, index, y));
  return { nodes: [...grid, ...shapes, ...names], spots };
}

function spot(series, side, index, y) {
  const value = series[side][index];
  return Number.isFinite(value) ? [[y(value), side]] : [];
}

function sideName(side, right, y) {
  return s("text", { class: `edge ${side}-name`, x: right + 6, y }, side);
}

function gridLines(series, [low, high], wanted, y, { left, right }) {
  const by = measure({ unit: series.unit }, Math.max(Math.abs(low), Math.abs(high)));
  const found = ticks(low * by.factor, high * by.factor, wanted);
  const digits = places(found);
  return found.flatMap((value) => {
    const height = y(value / by.factor);
    const suffix = LEVELS.has(series.unit) ? ` ${by.level}` : "";
    const name = Math.abs(value) >= 1e4 ? count(value) : number(value, digits);
    const kind = value === 0 ? "axis" : "grid";
    return [
      s("line", { class: kind, x1: left, x2: right, y1: height, y2: height }),
      s("text", { class: "tick", x: left - 7, y: height + 4, "text-anchor": "end" }, name + suffix),
    ];
  });
}

function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 0];
}

/** A level from interval to interval, over gaps too: at night nobody orders, and nothing fell. */
function levelLine(series, side, y, { x }) {
  const { at, width_ms: step, [side]: values } = series;
  const middle = (index) => x(at[index] + step / 2).toFixed(1);
  const known = values.flatMap((value, index) => (Number.isFinite(value) ? [index] : []));
  const points = thin(known.length, MOST).map((k) => known[k]);
  const d = points.map((index) => `${middle(index)} ${y(values[index]).toFixed(1)}`).join("L");
  const dots = points.length > DOTS ? [] : points;
  return [
    s("path", { class: `crest ${side}`, d: d ? `M${d}` : "" }),
    ...dots.map((index) =>
      s("circle", { class: side, cx: middle(index), cy: y(values[index]), r: 2 }),
    ),
  ];
}

function lane(series, side, y, { left, right, top, bottom, x, filled }) {
  const id = unique("lane");
  const box = { x: left, y: top - 2, width: right - left, height: bottom - top + 3 };
  const clip = s("defs", {}, s("clipPath", { id }, s("rect", box)));
  const parts = [steps(series, side, [0, filled], x, y), steps(series, side, [filled], x, y)];
  const shapes = parts.flatMap(({ area, crest }, index) => {
    const open = index ? " filling" : "";
    return [
      s("path", { class: `area ${side}${open}`, d: area }),
      s("path", { class: `crest ${side}${open}`, d: crest }),
    ];
  });
  return [clip, s("g", { "clip-path": `url(#${id})` }, shapes)];
}

/** Intervals as steps; where several fall on one pixel they are averaged, so nothing is hidden. */
function steps(series, side, [from, to = series.at.length], x, y) {
  const { at, width_ms: step, [side]: values } = series;
  const pixels = at.length ? Math.abs(x(at[0] + step) - x(at[0])) : 1;
  const merged = Math.max(1, Math.ceil(1.5 / Math.max(pixels, 1e-9)));
  const zero = y(0).toFixed(1);
  let area = "";
  let crest = "";
  let pen = null;
  for (let k = from; k < to; k += merged) {
    const last = Math.min(to, k + merged);
    const some = values.slice(k, last).filter(Number.isFinite);
    const start = x(at[k]).toFixed(1);
    const end = x(at[last - 1] + step).toFixed(1);
    if (!some.length) {
      pen = null;
      continue;
    }
    const height = y(some.reduce((sum, value) => sum + value, 0) / some.length).toFixed(1);
    area += `M${start} ${zero}V${height}H${end}V${zero}Z`;
    crest += pen === start ? `V${height}H${end}` : `M${start} ${height}H${end}`;
    pen = end;
  }
  return { area, crest };
}
