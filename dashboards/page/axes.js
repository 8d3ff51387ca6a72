// Axes: where ticks stand, and how far a picture reaches. Numbers in, numbers and labels out.

import { when } from "./words.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  SECOND,
  5 * SECOND,
  10 * SECOND,
  30 * SECOND,
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
  DAY,
  2 * DAY,
  4 * DAY,
  7 * DAY,
  14 * DAY,
];
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600];

/** About `wanted` round numbers within [low, high], ascending. */
export function ticks(low, high, wanted) {
  const rough = (high - low) / Math.max(1, wanted);
  if (!(rough > 0) || !Number.isFinite(rough)) return [];
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((part) => part * size).find((part) => part >= rough * 0.99);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k <= high / step + 1e-9; k += 1) found.push(k * step);
  return found;
}

/** About `wanted` times within [from, to] as `{at, label, day}`; day where a date is due. */
export function timeTicks(from, to, wanted) {
  const rough = (to - from) / Math.max(1, wanted);
  const step = STEPS.find((size) => size >= rough);
  if (step === undefined) return monthTicks(from, to, rough);
  const style = step >= DAY ? "day" : step >= MINUTE ? "minute" : "time";
  const found = [];
  let day = null;
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const date = when(at, "day");
    found.push({ at, label: when(at, style), day: style === "day" || date === day ? null : date });
    day = date;
  }
  return found;
}

function monthTicks(from, to, rough) {
  const every = MONTHS.find((months) => months * 30 * DAY >= rough) ?? MONTHS.at(-1);
  const found = [];
  const first = new Date(from);
  let month = first.getUTCFullYear() * 12 + first.getUTCMonth();
  month = Math.ceil(month / every) * every;
  for (; found.length < 60; month += every) {
    const at = Date.UTC(Math.floor(month / 12), month % 12, 1);
    if (at > to) break;
    if (at >= from) found.push({ at, label: when(at, "month"), day: null });
  }
  return found;
}

/** A linear map of [low, high] onto [start, end]; the middle where the domain has no length. */
export function scale(low, high, start, end) {
  if (!(high > low)) return () => (start + end) / 2;
  return (value) => start + ((value - low) / (high - low)) * (end - start);
}

const finite = (value) => typeof value === "number" && Number.isFinite(value);

function quantile(values, share) {
  const sorted = values.filter(finite).sort((a, b) => a - b);
  return sorted.length ? sorted[Math.round(share * (sorted.length - 1))] : undefined;
}

/**
 * [low, high] for a confidence sequence: zero, the margin and the present interval always show.
 *
 * Early intervals are far wider than late ones; showing them whole would flatten the part that
 * decides. So the picture takes in half of the looks, at most five times what must show, and the
 * band runs over its edge before that.
 */
export function effectRange({ effect, low, high, margin }) {
  const last = (values) => values.findLast(finite);
  const must = [0, margin * 1.6, last(low), last(high), last(effect)].filter(finite);
  const floor = Math.min(...must);
  const ceiling = Math.max(...must);
  const room = (ceiling - floor) * 2 || Math.abs(margin) || 1;
  const lowest = Math.min(floor, quantile(low, 0.5) ?? 0, quantile(effect, 0.1) ?? 0);
  const highest = Math.max(ceiling, quantile(high, 0.5) ?? 0, quantile(effect, 0.9) ?? 0);
  const bottom = Math.max(lowest, floor - room);
  const top = Math.min(highest, ceiling + room);
  const pad = (top - bottom) * 0.07;
  return [bottom - pad, top + pad];
}

/** At most `limit` indices of a list of this length, evenly, the first and the last among them. */
export function thin(length, limit) {
  const kept = Math.min(length, Math.max(2, Math.floor(limit)));
  if (kept === length) return Array.from({ length }, (_, index) => index);
  return Array.from({ length: kept }, (_, k) => Math.round((k * (length - 1)) / (kept - 1)));
}

/** Rows for labels `{x, width}` sorted by x, so that none overlap; null where no row is left. */
export function rows(labels, limit) {
  const ends = [];
  return labels.map(({ x, width }) => {
    let row = ends.findIndex((end) => x >= end);
    if (row < 0) row = ends.length;
    if (row >= limit) return null;
    ends[row] = x + width + 8;
    return row;
  });
}

/** The wanted heights moved apart to at least `gap`, within [top, bottom], order kept. */
export function spread(wanted, gap, top, bottom) {
  const order = wanted.map((y, index) => ({ y, index })).sort((a, b) => a.y - b.y);
  let floor = top;
  for (const label of order) {
    label.y = Math.max(label.y, floor);
    floor = label.y + gap;
  }
  let ceiling = bottom;
  for (const label of order.reverse()) {
    label.y = Math.min(label.y, ceiling);
    ceiling = label.y - gap;
  }
  const placed = [];
  for (const { y, index } of order) placed[index] = y;
  return placed;
}
