// Badges: a shape and a word for each verdict, action and state, so that colour is never alone.

import { h, s, set, text } from "./elements.js";

const TICK = "M4.6 8.3l2.4 2.4 4.5-5";
const SHAPES = {
  good: () => [
    s("circle", { class: "solid", cx: 8, cy: 8, r: 7 }),
    s("path", { class: "cut", d: TICK }),
  ],
  bad: () => [
    s("path", { class: "solid", d: "M8 .9L15.6 14.6H.4z" }),
    s("path", { class: "cut", d: "M8 5.6v4.2M8 11.7v1.2" }),
  ],
  open: () => [
    s("circle", { class: "line", cx: 8, cy: 8, r: 6.2 }),
    s("path", { class: "solid", d: "M8 1.8a6.2 6.2 0 0 1 0 12.4z" }),
  ],
  none: () => [s("circle", { class: "line dashed", cx: 8, cy: 8, r: 6.2 })],
  absent: () => [s("path", { class: "line", d: "M3 8h10" })],
};
const LOOKS = {
  healthy: "good",
  degraded: "bad",
  inconclusive: "open",
  no_data: "none",
  safe: "good",
  undecided: "open",
  not_observed: "absent",
};

/** A badge as `{node, update(word)}`: the shape of a verdict or state, and its word. */
export function badge(large = false) {
  const svg = s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
  const word = h("span", {});
  const node = h("span", { class: large ? "badge large" : "badge" }, svg, word);
  return {
    node,
    update(value) {
      if (node.dataset.is === value) return;
      node.dataset.is = value;
      set(node, "data-look", LOOKS[value] ?? "none");
      svg.replaceChildren(...SHAPES[LOOKS[value] ?? "none"]());
      text(word, String(value).replaceAll("_", " "));
    },
  };
}

const ARROWS = {
  promote: "M8 14V3M3.5 7.5L8 3l4.5 4.5",
  rollback: "M3 3v4.5h4.5M3.4 7.2A5.2 5.2 0 1 1 4 11.4",
  wait: "M8 3.5V8l3 2M8 1.6a6.4 6.4 0 1 0 .01 0z",
  hold: "M5.5 3v10M10.5 3v10",
};

/** An action as `{node, update(word)}`: its arrow, and its word. */
export function action() {
  const path = s("path", { class: "line" });
  const word = h("span", {});
  const svg = s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, path);
  const node = h("span", { class: "action" }, svg, word);
  return {
    node,
    update(value) {
      set(node, "data-action", value);
      set(path, "d", ARROWS[value] ?? "");
      text(word, value);
    },
  };
}
