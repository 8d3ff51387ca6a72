// One metric in one segment: its state, its chart, and beside the chart the evidence in words.

import { badge } from "./badges.js";
import { confidenceChart } from "./confidence.js";
import { changed, h, keyed, s, set, text } from "./elements.js";
import { standing } from "./verdicts.js";
import {
  count,
  counted,
  figures,
  nounOf,
  odds,
  percent,
  segmentName,
  span,
  spoken,
} from "./words.js";

const SAID = {
  degraded: "Worse than its margin allows.",
  safe: "Shown to be no worse than its margin.",
  undecided: "Not decided yet.",
  no_data: "There is nothing to compare.",
  not_observed: "The baseline does not show it either, so it holds nothing up.",
};

/** A panel as `{node, update({cell, markers})}`, cell being `{reason, evidence}`. */
export function metricPanel(level = "h4") {
  const state = badge();
  const title = h(level, {});
  const segment = h("bdi", { class: "segment" });
  const role = h("span", { class: "role" });
  const chart = confidenceChart();
  const words = evidenceWords();
  const head = h("header", {}, state.node, title, segment, role);
  const sides = h("div", { class: "sides" }, chart.node, words.node);
  const node = h("article", { class: "metric" }, head, sides);

  return {
    node,
    update({ cell, markers }) {
      const about = standing(cell);
      set(node, "data-metric", about.metric);
      set(node, "data-segment", segmentName(about.segment));
      set(node, "data-state", about.state);
      state.update(about.state);
      text(title, spoken(about.metric));
      set(title, "title", about.metric);
      text(segment, segmentName(about.segment));
      set(segment, "title", segmentName(about.segment));
      text(role, roleOf(about));
      const drawn = Boolean(cell.evidence?.at.length);
      set(chart.node, "hidden", !drawn);
      sides.classList.toggle("alone", !drawn);
      if (drawn && changed(chart.node, "data", [cell.evidence, markers])) {
        chart.update({ evidence: cell.evidence, markers });
      }
      words.update(cell);
    },
  };
}

function roleOf({ gates, segment, indicative }) {
  const total = Object.keys(segment ?? {}).length === 0;
  const said = gates ? ["gates the release"] : total ? ["does not gate"] : [];
  return [...said, ...(indicative ? ["indicative"] : [])].join(", ");
}

function evidenceWords() {
  const lead = h("p", { class: "lead" });
  const list = h("dl", {});
  const harm = meter("harm", "For harm");
  const safe = meter("safe", "For safety");
  const needed = h("p", { class: "needed" });
  const detail = h("p", { class: "detail" });
  const node = h("div", { class: "words" }, lead, list, harm.node, safe.node, needed, detail);
  return {
    node,
    update(cell) {
      const about = standing(cell);
      text(lead, SAID[about.state] ?? about.state);
      keyed(list, rowsOf(about), ({ term }) => term, pair);
      harm.update(about.e_value, cell.evidence?.harm_threshold);
      safe.update(about.e_safe, cell.evidence?.safe_threshold);
      text(needed, about.needed ? neededWords(about) : "");
      text(detail, [about.detail, about.method].filter(Boolean).join(" · "));
    },
  };
}

function neededWords({ metric, needed }) {
  const more = counted(needed.events, nounOf(metric)).replace(/ (\w+)$/, " more $1");
  return `Needs about ${more}, at the present rate ${span(needed.seconds)}.`;
}

function rowsOf(about) {
  const said = figures(about, about);
  const noun = nounOf(about.metric);
  const arm = (term, level, size) => {
    const units = Number.isFinite(size) ? counted(size, noun) : "";
    if (level === "unknown" && about.state === "no_data") return { term, value: units, note: "" };
    return { term, value: level, note: units && `${about.unit === "1" ? "of" : "from"} ${units}` };
  };
  const relative = percent(about.relative_effect);
  const interval = said.interval === "unknown" ? "" : `(${said.interval})`;
  return [
    arm("Baseline", said.baseline, about.n_baseline),
    arm("Canary", said.canary, about.n_canary),
    { term: "Difference", value: said.effect, note: interval },
    { term: "Relative", value: relative, note: "" },
    { term: "Margin", value: said.margin, note: `${about.worse} is worse` },
  ].filter(({ term, value }) => term === "Difference" || value !== "unknown");
}

function pair() {
  const term = h("dt", {});
  const value = h("b", {});
  const note = h("span", {});
  return {
    node: h("div", {}, term, h("dd", {}, value, " ", note)),
    update(row) {
      text(term, row.term);
      text(value, row.value);
      text(note, row.note);
    },
  };
}

const REACH = 1.15; // of the way to the threshold, so that passing it can be seen

/** How far evidence has come: a bar on a logarithmic scale with the load line at what it needs. */
function meter(kind, title) {
  const fill = s("rect", { class: `fill ${kind}`, height: 6, y: 3, rx: 1 });
  const line = s("line", {
    class: "load",
    x1: `${100 / REACH}%`,
    x2: `${100 / REACH}%`,
    y1: 0,
    y2: 12,
  });
  const track = s("rect", { class: "track", width: "100%", height: 6, y: 3, rx: 1 });
  const bar = s("svg", { class: "meter", "aria-hidden": "true", height: 12 }, track, fill, line);
  const value = h("b", {});
  const needs = h("span", {});
  const node = h(
    "div",
    { class: "evidence", "data-kind": kind },
    h("p", {}, h("span", {}, title, " ", value), " ", needs),
    bar,
  );
  return {
    node,
    update(size, threshold) {
      const share = Math.log(Math.max(1, size ?? 1)) / Math.log(threshold);
      const drawn = Number.isFinite(share) ? Math.min(1, share / REACH) : 0;
      set(fill, "width", `${(drawn * 100).toFixed(1)}%`);
      bar.classList.toggle("without", !Number.isFinite(threshold));
      text(value, odds(size));
      text(needs, Number.isFinite(threshold) ? `needs ${odds(threshold)}` : "");
    },
  };
}

/**
 * Metrics that have nothing to draw: `{node, update(cells)}`. Those with something to say are a
 * line each; those of the catalogue that never came are one line that opens.
 */
export function quietMetrics() {
  const list = h("ul", {});
  const summary = h("summary", {});
  const names = h("p", {});
  const absent = h("details", {}, summary, names);
  const node = h("div", { class: "quiet" }, list, absent);
  return {
    node,
    update(cells) {
      const never = cells.filter(({ state }) => state === "not_observed");
      const told = cells.filter(({ state }) => state !== "not_observed");
      keyed(list, told, ({ metric }) => metric, quietLine);
      set(list, "hidden", told.length === 0);
      set(absent, "hidden", never.length === 0);
      const many = counted(never.length, "metrics");
      text(summary, `${many} not observed for this service: they hold nothing up`);
      text(names, never.map(({ metric }) => spoken(metric)).join(", "));
    },
  };
}

function quietLine() {
  const state = badge();
  const said = h("span", {});
  return {
    node: h("li", {}, state.node, " ", said),
    update(about) {
      state.update(about.state);
      const [baseline, canary] = [about.n_baseline, about.n_canary].map(count);
      const why = about.detail || SAID[about.state] || "";
      text(said, `${spoken(about.metric)} (baseline ${baseline}, canary ${canary}): ${why}`);
    },
  };
}
