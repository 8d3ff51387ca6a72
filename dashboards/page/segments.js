// The segments of each metric in one table: state, numbers, and the interval on a common scale.

import { badge } from "./badges.js";
import { scale } from "./axes.js";
import { h, keyed, s, set, text } from "./elements.js";
import { metricPanel } from "./metric.js";
import { standing } from "./verdicts.js";
import { count, figures, keyOf, odds, segmentName, spoken } from "./words.js";

const FIRST = 10; // rows before "show all"; more and the next metric is out of sight

/** The tables as `{node, update({metrics, markers})}`; a row opens its own chart. */
export function segmentTables() {
  const node = h("div", { class: "segments" });
  return {
    node,
    update({ metrics, markers }) {
      const items = metrics
        .filter(({ segments }) => segments.length)
        .map((group) => ({ group, markers }));
      keyed(node, items, ({ group }) => group.metric, table);
    },
  };
}

function table() {
  const title = h("h4", {});
  const names = ["State", "Segment", "Baseline", "Canary", "Difference", "Interval", "For harm"];
  const head = h(
    "thead",
    {},
    h(
      "tr",
      {},
      names.map((each) => h("th", { scope: "col" }, each)),
    ),
  );
  const grid = h("table", {}, head);
  const more = h("button", {
    type: "button",
    class: "more",
    onclick: () => {
      all = !all;
      show();
    },
  });
  const node = h(
    "section",
    { class: "segment-table" },
    title,
    h("div", { class: "scroll" }, grid),
    more,
  );
  let all = false;
  let now = null;

  function show() {
    const { group, markers } = now;
    const cells = [group.total, ...group.segments].filter(Boolean);
    const kept = all ? cells : cells.slice(0, FIRST);
    const range = rangeOf(cells.map(standing));
    const items = kept.map((cell) => ({ cell, markers, range }));
    keyed(grid, items, ({ cell }) => keyOf(standing(cell)), row, head);
    set(more, "hidden", cells.length <= FIRST);
    text(more, all ? "Show the worst only" : `Show all ${count(group.segments.length)} segments`);
    set(more, "aria-expanded", String(all));
  }

  return {
    node,
    update(item) {
      now = item;
      text(title, spoken(item.group.metric));
      set(title, "title", item.group.metric);
      set(node, "data-metric", item.group.metric);
      show();
    },
  };
}

function rangeOf(reasons) {
  const known = (values) => values.filter(Number.isFinite).sort((a, b) => a - b);
  const lows = known(reasons.map(({ low }) => low));
  const highs = known(reasons.map(({ high }) => high));
  const harmed = reasons.filter(({ state }) => state === "degraded");
  // Harm shows whole; of the others the widest intervals may run over the edge.
  const must = known([
    0,
    ...reasons.map(({ margin }) => margin && margin * 1.5),
    ...harmed.flatMap(({ effect, low, high }) => [effect, low, high]),
    lows[Math.floor(lows.length * 0.2)],
    highs[Math.floor(highs.length * 0.8)],
  ]);
  const pad = (must.at(-1) - must[0]) * 0.06 || 1;
  return [must[0] - pad, must.at(-1) + pad];
}

function row() {
  const state = badge();
  const open = h("button", {
    type: "button",
    class: "open",
    "aria-expanded": "false",
    onclick: toggle,
  });
  const cells = Array.from({ length: 4 }, () => h("td", {}));
  const forest = s("svg", { class: "forest", height: 34, "aria-hidden": "true" });
  const main = h(
    "tr",
    {},
    h("td", {}, state.node),
    h("th", { scope: "row" }, open),
    ...cells.slice(0, 3),
    h("td", { class: "forest-cell" }, forest),
    cells[3],
  );
  const place = h("td", { colspan: "7" });
  const below = h("tr", { class: "opened", hidden: true }, place);
  const node = h("tbody", {}, main, below);
  let panel = null;
  let now = null;

  function toggle() {
    set(below, "hidden", !below.hidden);
    set(open, "aria-expanded", String(!below.hidden));
    if (!below.hidden && panel === null) {
      panel = metricPanel("h5");
      place.append(panel.node);
    }
    panel?.update(now);
  }

  return {
    node,
    update(item) {
      now = item;
      const about = standing(item.cell);
      const said = figures(about, about);
      state.update(about.state);
      text(open, segmentName(about.segment));
      set(open, "title", segmentName(about.segment));
      set(node, "data-segment", segmentName(about.segment));
      [said.baseline, said.canary, said.effect, odds(about.e_value)].forEach((words, k) =>
        text(cells[k], words === "unknown" ? "–" : words),
      );
      set(cells[2], "title", said.interval);
      forest.replaceChildren(...interval(about, item.range));
      if (!below.hidden) panel.update(item);
    },
  };
}

function interval({ effect, low, high, margin, state }, range) {
  const x = scale(...range, 0, 100);
  const at = (value, end) =>
    `${Math.max(0, Math.min(100, Number.isFinite(value) ? x(value) : end)).toFixed(2)}%`;
  const zero = s("line", { class: "zero", x1: at(0), x2: at(0), y1: 0, y2: 34 });
  const nodes = [zero];
  if (Number.isFinite(margin))
    nodes.push(s("line", { class: "margin", x1: at(margin), x2: at(margin), y1: 0, y2: 34 }));
  if (Number.isFinite(low) || Number.isFinite(high)) {
    nodes.push(
      s("line", { class: `whisker ${state}`, x1: at(low, 0), x2: at(high, 100), y1: 17, y2: 17 }),
    );
  }
  if (Number.isFinite(effect))
    nodes.push(s("circle", { class: `dot ${state}`, cx: at(effect), cy: 17, r: 3.5 }));
  return nodes;
}
