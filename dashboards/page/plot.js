// Plot: the frame that both charts share. Axes, deployment markers, cursor, read-out.
//
// A chart gives `draw(data, frame)`; the frame keeps its width, redraws when it changes, and turns
// pointer and keys into an index of time. For a screen reader it is a slider over time whose value
// is the read-out in words.

import { h, s, set, text } from "./elements.js";
import { rows, timeTicks } from "./axes.js";
import { when } from "./words.js";

const LETTER = 6.3; // about the width of one digit at the labels' size, in pixels
const ROW = 15;
const LABEL_ROWS = 3;

let serial = 0;

/** A name for a pattern or clip path, unlike any other on the page. */
export function unique(stem) {
  serial += 1;
  return `${stem}-${serial}`;
}

/** About how many pixels a label takes. */
export const wide = (label) => String(label).length * LETTER;

/**
 * A chart's frame as `{node, update(data)}`.
 *
 * `draw(data, width)` gives `{nodes, height, times, x, top, bottom, spots(index)}`, `read(data,
 * index)` the read-out in words. The cursor rests on the latest look until it is moved.
 */
export function plot({ label, draw, read }) {
  const svg = s("svg", { class: "plot", "aria-hidden": "true" });
  const cursor = s("g", { class: "cursor" });
  const slider = h(
    "div",
    { class: "slider", role: "slider", tabindex: "0", "aria-valuemin": "0" },
    svg,
  );
  const readout = h("p", { class: "readout" });
  const node = h("div", { class: "chart" }, slider, readout);
  const state = { data: null, width: 0, picture: null, index: null, rect: null };

  function point() {
    const { picture, data } = state;
    if (!picture?.times.length) return;
    const latest = picture.times.length - 1;
    const index = Math.min(state.index ?? latest, latest);
    const x = picture.x(picture.times[index]);
    const line = s("line", { x1: x, x2: x, y1: picture.top, y2: picture.bottom });
    const spots = picture
      .spots(index)
      .map(([cy, kind]) => s("circle", { cx: x, cy, r: 3.5, class: kind }));
    cursor.replaceChildren(...(state.index === null ? [] : [line]), ...spots);
    const words = read(data, index);
    text(readout, words);
    set(slider, "aria-valuemax", latest);
    set(slider, "aria-valuenow", index);
    set(slider, "aria-valuetext", words);
  }

  function redraw() {
    if (state.data === null || state.width < 40) return;
    state.picture = draw(state.data, state.width);
    const { nodes, height } = state.picture;
    set(svg, "viewBox", `0 0 ${state.width} ${height}`);
    set(svg, "width", state.width);
    set(svg, "height", height);
    svg.replaceChildren(...nodes, cursor);
    point();
  }

  function move(index) {
    const latest = (state.picture?.times.length ?? 1) - 1;
    state.index = index === null ? null : Math.max(0, Math.min(latest, index));
    point();
  }

  listen(slider, svg, state, move);
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width === state.width) return;
    state.width = width;
    redraw();
  }).observe(slider);

  return {
    node,
    update(data) {
      state.data = data;
      set(slider, "aria-label", label(data));
      redraw();
    },
  };
}

function listen(slider, svg, state, move) {
  slider.addEventListener("pointermove", (event) => {
    const { picture } = state;
    if (!picture?.times.length) return;
    move(nearest(picture, event.clientX - svg.getBoundingClientRect().left));
  });
  slider.addEventListener("pointerleave", () => move(null));
  slider.addEventListener("blur", () => move(null));
  slider.addEventListener("keydown", (event) => {
    const latest = (state.picture?.times.length ?? 1) - 1;
    const now = state.index ?? latest;
    const jump = Math.max(2, Math.round(latest / 10));
    const to = {
      ArrowLeft: now - 1,
      ArrowDown: now - 1,
      ArrowRight: now + 1,
      ArrowUp: now + 1,
      PageDown: now - jump,
      PageUp: now + jump,
      Home: 0,
      End: latest,
      Escape: null,
    }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(to);
  });
}

function nearest({ times, x }, at) {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x(times[middle]) < at) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && at - x(times[low - 1]) < x(times[low]) - at) low -= 1;
  return low;
}

/** The span of time that looks and markers take together, never of length 0. */
export function timeSpan(times, markers) {
  const all = [times[0], times.at(-1), ...markers.map(({ at }) => at)].filter(Number.isFinite);
  const from = all.length ? Math.min(...all) : 0;
  const to = all.length ? Math.max(...all) : 0;
  return to > from ? [from, to] : [from - 30_000, from + 30_000];
}

/** The time axis below `bottom` as `{nodes, depth}`: ticks, times, a date where the day changes. */
export function timeAxis(x, [from, to], { left, right, bottom }) {
  const nodes = [s("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom })];
  const found = timeTicks(from, to, Math.max(2, Math.floor((right - left) / 78)));
  for (const { at, label, day } of found) {
    const half = wide(label) / 2;
    const middle = Math.max(left - 20 + half, Math.min(right + 20 - half, x(at)));
    nodes.push(s("line", { class: "axis", x1: x(at), x2: x(at), y1: bottom, y2: bottom + 4 }));
    nodes.push(
      s("text", { class: "tick", x: middle, y: bottom + 16, "text-anchor": "middle" }, label),
    );
    if (day)
      nodes.push(
        s("text", { class: "tick day", x: middle, y: bottom + 29, "text-anchor": "middle" }, day),
      );
  }
  return { nodes, depth: found.some(({ day }) => day) ? 34 : 21 };
}

const SHAPES = {
  "deployment.started": "M0 0l9 4.5l-9 4.5z",
  "deployment.shifted": "M0 4.5l4.5 -4.5l4.5 4.5l-4.5 4.5z",
  "deployment.finished": "M0 0.5h8v8h-8z",
  "deployment.rolled_back": "M9 0l-9 4.5l9 4.5z",
  degraded: "M4.8 0L9.6 9H0z",
  healthy: "M4.5 0a4.5 4.5 0 1 0 .01 0z",
};

const DECIDED = new Set(["degraded", "healthy"]);

/** A marker in words: "started at 10 %", "rolled back". */
export function markerName({ type, share }) {
  const verb = String(type)
    .replace(/^deployment\./, "")
    .replaceAll("_", " ");
  if (!Number.isFinite(share)) return verb;
  const percent = Number((share * 100).toPrecision(3));
  return `${verb} ${verb === "started" ? "at" : "to"} ${percent}\u202f%`;
}

/** How deep the labels of these markers reach, and each one's row (null: no room). */
export function markerRows(markers, x, edge) {
  const labels = markers.map((marker) => {
    const width = wide(markerName(marker)) + 14;
    const flipped = x(marker.at) + width > edge;
    return { x: flipped ? x(marker.at) - width - 1 : x(marker.at), width, flipped };
  });
  const placed = rows(labels, LABEL_ROWS);
  const used = Math.max(0, ...placed.filter((row) => row !== null).map((row) => row + 1));
  return { placed, labels, depth: used * ROW };
}

/** Deployment markers: a labelled upright line each, with a shape of its own for each type. */
export function markerLines(markers, x, { placed, labels }, bottom) {
  return markers.flatMap((marker, index) => {
    const at = x(marker.at);
    const row = placed[index];
    const top = row === null ? 0 : row * ROW + 3;
    const title = s("title", {}, `${markerName(marker)}, ${when(marker.at)} UTC`);
    const nodes = [s("line", { class: "marker", x1: at, x2: at, y1: top, y2: bottom }, title)];
    if (row === null) return nodes;
    const { x: start, width, flipped } = labels[index];
    const kind = DECIDED.has(marker.type) ? marker.type : "";
    const place = `translate(${flipped ? at - 11 : at + 1} ${top})`;
    const shape = SHAPES[marker.type] ?? "M0 0h6v9h-6z";
    const side = flipped ? { x: start + width - 12, "text-anchor": "end" } : { x: start + 13 };
    nodes.push(s("path", { class: `flag ${kind}`, d: shape, transform: place }));
    nodes.push(s("text", { class: "marker-name", y: top + 9, ...side }, markerName(marker)));
    return nodes;
  });
}
