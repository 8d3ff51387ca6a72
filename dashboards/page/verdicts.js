// What the page reads out of a verdict: the order of its reasons, how much was judged, the harm.
//
// Pure functions of the JSON; nothing here decides anything that the verdict has not decided.

import {
  count,
  counted,
  epoch,
  figures,
  keyOf,
  nounOf,
  segmentName,
  span,
  spoken,
} from "./words.js";

export const VERDICTS = ["degraded", "inconclusive", "no_data", "healthy"];
const STATES = ["degraded", "undecided", "no_data", "safe", "not_observed"];

const isTotal = ({ segment }) => Object.keys(segment ?? {}).length === 0;
const rank = ({ state }) => (STATES.indexOf(state) + STATES.length + 1) % (STATES.length + 1);
const gates = (reason) => (reason.gates ? 0 : 1);
const harm = (reason) => (Number.isFinite(reason.e_value) ? reason.e_value : 0);

/** Whether `a` is to stand before `b`: harm first, then what gates, then by state and evidence. */
function worse(a, b) {
  const harmed = ({ state }) => (state === "degraded" ? 0 : 1);
  return harmed(a) - harmed(b) || gates(a) - gates(b) || rank(a) - rank(b) || harm(b) - harm(a);
}

/** The worst reason, or null; of what is healthy, the safe one that is nearest to its margin. */
export function worst(verdict) {
  const sorted = [...(verdict.reasons ?? [])].sort(worse);
  if (verdict.verdict !== "healthy") return sorted[0] ?? null;
  const safe = sorted.filter((reason) => reason.state === "safe" && isTotal(reason));
  return safe.sort((a, b) => gates(a) - gates(b) || a.e_safe - b.e_safe)[0] ?? sorted[0] ?? null;
}

/** The worst reason in words: "order submission success, country Germany: -3.7 points (...)". */
export function worstInWords(verdict) {
  const reason = worst(verdict);
  if (reason === null) return "";
  const place = isTotal(reason) ? "" : `, ${segmentName(reason.segment)}`;
  const said = figures(reason, reason);
  const numbers =
    said.effect === "unknown"
      ? reason.state.replaceAll("_", " ")
      : `${said.effect} (${said.interval})`;
  return `${spoken(reason.metric)}${place}: ${numbers}`;
}

/** How many units the largest total comparison rests on, in words; orders rather than events. */
export function judged(verdict) {
  const totals = (verdict.reasons ?? []).filter(isTotal);
  const units = ({ n_baseline: baseline, n_canary: canary }) => baseline + canary;
  const named = totals.filter((reason) => nounOf(reason.metric) !== "events" && units(reason));
  const most = (named.length ? named : totals).sort((a, b) => units(b) - units(a))[0];
  if (!most) return null;
  const canary = `${count(most.n_canary)} on the canary`;
  return { units: counted(units(most), nounOf(most.metric)), canary };
}

/** The harm so far in words, or null where none is known. */
export function impact(verdict) {
  const found = verdict.impact;
  if (!found) return null;
  const time = found.unit === "s";
  const size = time ? span(found.events) : counted(Math.round(found.events), found.unit);
  const said = (value) => (time ? span(value) : count(Math.round(value)));
  return { size, range: `${said(found.low)} to ${said(found.high)}` };
}

/** The markers of a release, and among them the moment at which it was decided. */
export function moments(verdict, markers) {
  const at = epoch(verdict.verdict === "degraded" ? verdict.first_degraded_at : verdict.decided_at);
  const decided = at === null ? [] : [{ at, type: verdict.verdict, share: null }];
  return [...markers, ...decided].sort((a, b) => a.at - b.at);
}

/**
 * Metrics of a release, worst first, as `{metric, total, harmed, segments, top}`; their cells are
 * `{reason, evidence}`, either of which may be null.
 */
export function metricsOf(verdict, evidence) {
  const cells = new Map();
  for (const reason of verdict?.reasons ?? []) cells.set(keyOf(reason), { reason, evidence: null });
  for (const looks of evidence?.metrics ?? []) {
    const cell = cells.get(keyOf(looks)) ?? { reason: null };
    cells.set(keyOf(looks), { ...cell, evidence: looks });
  }
  const metrics = new Map();
  for (const cell of cells.values()) {
    const about = standing(cell);
    const group = metrics.get(about.metric) ?? { metric: about.metric, total: null, segments: [] };
    metrics.set(about.metric, group);
    if (isTotal(about)) group.total = cell;
    else group.segments.push(cell);
  }
  const order = (a, b) => worse(standing(a), standing(b));
  const groups = [...metrics.values()].map((group) => {
    const segments = group.segments.sort(order);
    const harmed = segments.filter((cell) => standing(cell).state === "degraded");
    const top = [group.total, ...segments].filter(Boolean).sort(order)[0];
    return { ...group, segments, harmed, top };
  });
  return groups.sort((a, b) => order(a.top, b.top) || a.metric.localeCompare(b.metric));
}

/**
 * What is known of a cell now: its reason, else the last look of its evidence.
 *
 * The margin is that of the evidence, which is in the metric's unit; that of a reason may be
 * relative, and alone it does not say so.
 */
export function standing({ reason, evidence }) {
  if (reason && !evidence) return { ...reason, kind: undefined, margin: null };
  if (reason) return { ...reason, kind: evidence.kind, margin: evidence.margin };
  const last = (values) => values?.at(-1) ?? null;
  return {
    ...evidence,
    baseline: null,
    canary: null,
    effect: last(evidence.effect),
    low: last(evidence.low),
    high: last(evidence.high),
    relative_effect: null,
    e_value: last(evidence.e_value),
    e_safe: last(evidence.e_safe),
    n_baseline: null,
    n_canary: null,
    needed: null,
    method: "",
    detail: "",
  };
}
