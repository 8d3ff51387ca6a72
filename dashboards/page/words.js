// Words and numbers: how quantities, times and names are written on the page.
//
// Pure functions of their arguments; null and what is no finite number is "unknown", never 0.

const THIN = "\u202f";
const MINUS = "\u2212";
const UNKNOWN = "unknown";
const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

const known = (value) => typeof value === "number" && Number.isFinite(value);

function grouped(value, decimals) {
  const options = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return Math.abs(value).toLocaleString("en-GB", options);
}

function power(value) {
  const exponent = Math.floor(Math.log10(value));
  const raised = [...String(exponent)].map((digit) => RAISED[digit] ?? "⁻").join("");
  return `${(value / 10 ** exponent).toFixed(1)}${THIN}×${THIN}10${raised}`;
}

/** A count in full up to ten million, then short: 12.3M. */
export function count(value) {
  if (!known(value)) return UNKNOWN;
  if (Math.abs(value) >= 1e15) return power(value);
  if (Math.abs(value) < 1e7) return grouped(Math.round(value), 0);
  return value.toLocaleString("en-US", { notation: "compact", maximumSignificantDigits: 3 });
}

/** The noun with its count: "1 event", "2 events". */
export function counted(value, noun) {
  return `${count(value)} ${value === 1 ? noun.replace(/s$/, "") : noun}`;
}

/** Evidence as odds: "1,840 : 1". */
export function odds(value) {
  if (!known(value)) return UNKNOWN;
  if (value < 0.01) return `under 0.01${THIN}:${THIN}1`;
  let written = grouped(value, value < 1 ? 2 : value < 10 ? 1 : 0);
  if (value >= 1e6) written = power(value);
  return `${written}${THIN}:${THIN}1`;
}

const DURATIONS = [
  [1e-3, 1e-6, "µs"],
  [1, 1e-3, "ms"],
  [600, 1, "s"],
  [14400, 60, "min"],
  [345600, 3600, "h"],
  [Infinity, 86400, "d"],
];

/**
 * How a metric's numbers are written at this magnitude: `{factor, level, difference}`, the
 * suffixes for a level (99.1 %) and for a difference (-3.7 points).
 */
export function measure(metric, magnitude) {
  const { unit, kind } = metric;
  if (unit === "1") return { factor: 100, level: "%", difference: "points" };
  if (unit === "relative") return { factor: 100, level: "%", difference: "%" };
  if (unit === "s" || unit === "ms") {
    const seconds = unit === "ms" ? 1e-3 : 1;
    const size = Math.abs(magnitude * seconds) || 1;
    const [, step, suffix] = DURATIONS.find(([limit]) => size < limit);
    return { factor: seconds / step, level: suffix, difference: suffix };
  }
  // A count is told as a rate of the whole traffic, so that arms of unequal size compare.
  const said = kind === "count" ? `${unit}/h` : unit;
  return { factor: 1, level: said, difference: said };
}

/** Decimals that show a span of this size to two digits. */
export function decimals(span) {
  if (!known(span) || span === 0) return 1;
  return Math.max(0, Math.min(6, 1 - Math.floor(Math.log10(Math.abs(span)))));
}

/** The fewest decimals (at most six) that tell these numbers exactly. */
export function places(values) {
  const told = (digits) => (value) =>
    Math.abs(value - Number(value.toFixed(digits))) <= 1e-9 * Math.max(1e-9, Math.abs(value));
  for (let digits = 0; digits < 6; digits += 1) if (values.every(told(digits))) return digits;
  return 6;
}

/** A number with sign (where asked) and a true minus; very large and very small as powers. */
export function number(value, digits, { sign = false } = {}) {
  if (!known(value)) return UNKNOWN;
  const size = Math.abs(value);
  const written = size >= 1e9 || (size > 0 && size < 1e-6) ? power(size) : grouped(size, digits);
  const zero = !/[1-9]/.test(written);
  const mark = zero ? "" : value < 0 ? MINUS : sign ? "+" : "";
  return mark + written;
}

const spaced = (written, suffix) => (suffix ? `${written}\u00a0${suffix}` : written);

const FULL = {
  "%": "percent",
  s: "seconds",
  ms: "milliseconds",
  min: "minutes",
  h: "hours",
  d: "days",
};

/** The unit of an axis, written out: "in seconds". */
export const inUnit = (suffix) => (suffix ? `in ${FULL[suffix] ?? suffix}` : "");

/** The numbers of a reason or of one look of its evidence, written in one unit and precision. */
export function figures(metric, { baseline, canary, effect, low, high, margin }) {
  const sizes = [effect, low, high, margin].filter(known).map(Math.abs);
  const by = measure(metric, Math.max(...sizes, 0));
  const apart = measure(metric, Math.max(...[baseline, canary].filter(known).map(Math.abs), 0));
  const span = known(low) && known(high) ? high - low : effect;
  const finest = decimals(span * by.factor);
  const digits = apart.level === "%" ? Math.max(1, finest) : null;
  const level = (value) => {
    const scaled = value * apart.factor;
    return known(value)
      ? spaced(number(scaled, digits ?? decimals(scaled / 10)), apart.level)
      : UNKNOWN;
  };
  const signed = (value) => number(value * by.factor, finest, { sign: true });
  const told = (value) => {
    const exact = Number(value.toPrecision(3)); // a margin is a given number, not an estimate
    return spaced(number(exact, places([exact]), { sign: true }), by.difference);
  };
  const between = () => {
    if (known(low) && known(high)) return `${signed(low)} to ${signed(high)}`;
    if (known(low)) return `at least ${signed(low)}`;
    return known(high) ? `at most ${signed(high)}` : UNKNOWN;
  };
  return {
    baseline: level(baseline),
    canary: level(canary),
    effect: known(effect) ? spaced(signed(effect), by.difference) : UNKNOWN,
    interval: between(),
    margin: known(margin) ? told(margin * by.factor) : UNKNOWN,
  };
}

/** A relative change: "+3.6 %", "-62 %". */
export function percent(value) {
  if (!known(value)) return UNKNOWN;
  return spaced(number(value * 100, Math.abs(value) < 0.1 ? 1 : 0, { sign: true }), "%");
}

/** "4 min 10 s", "3 h 5 min", "2 d 4 h": the two largest parts of a span. */
export function span(seconds) {
  if (!known(seconds)) return UNKNOWN;
  let rest = Math.max(0, Math.round(seconds));
  const said = [];
  for (const [size, suffix] of [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ]) {
    const whole = Math.floor(rest / size);
    if (whole || (size === 1 && !said.length)) said.push(`${count(whole)}\u00a0${suffix}`);
    else if (said.length) break;
    if (said.length === 2) break;
    rest -= whole * size;
  }
  return said.join(" ");
}

const format = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const DATE = { day: "numeric", month: "short", year: "numeric" };
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const SECOND = { ...CLOCK, second: "2-digit" };
const FORMATS = {
  moment: format({ ...DATE, ...CLOCK }),
  second: format({ ...DATE, ...SECOND }),
  time: format(SECOND),
  minute: format(CLOCK),
  day: format({ day: "numeric", month: "short" }),
  month: format({ month: "short", year: "numeric" }),
};
const DISTANT = 8.64e15;

/** A time (epoch milliseconds or RFC 3339) as epoch milliseconds, or null. */
export function epoch(at) {
  const ms = typeof at === "string" ? Date.parse(at) : at;
  return known(ms) && Math.abs(ms) <= DISTANT ? ms : null;
}

/** A time in UTC in one of FORMATS: "14 Mar 2011, 10:20". */
export function when(at, style = "moment") {
  const ms = epoch(at);
  return ms === null ? UNKNOWN : FORMATS[style].format(ms);
}

/** A time as RFC 3339 to the second, or null. */
export function rfc3339(at) {
  const ms = epoch(at);
  return ms === null ? null : new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

/** A metric's name as words: "order submission success". */
export const spoken = (metric) => String(metric).replaceAll("_", " ");

/** A segment as words: "country Germany", or "total". */
export function segmentName(segment) {
  const parts = Object.entries(segment ?? {}).map(([key, value]) => `${key} ${value}`);
  return parts.length ? parts.join(", ") : "total";
}

/** What a metric and segment are called in maps: equal for equal segments in any order. */
export function keyOf({ metric, segment }) {
  return JSON.stringify([metric, Object.entries(segment ?? {}).sort()]);
}

/** What the units of a metric are called: orders, documents, or plain events. */
export function nounOf(metric) {
  const nouns = { order: "orders", edi: "documents", warehouse: "tasks", api: "calls" };
  return nouns[String(metric).split("_")[0]] ?? "events";
}
