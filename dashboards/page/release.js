// One release in full: what was decided and why, the evidence, the business series, the segments.

import { action, badge } from "./badges.js";
import { changed, h, keyed, name, set, text } from "./elements.js";
import { metricPanel, quietMetrics } from "./metric.js";
import { segmentTables } from "./segments.js";
import { seriesChart } from "./series.js";
import { impact, judged, metricsOf, moments, standing } from "./verdicts.js";
import { keyOf, rfc3339, spoken, when } from "./words.js";

const HARMED = 6; // charts of harmed segments; the rest are in the table, one press away

/** The detail as `{update({release, evidence, watermark, problem}), focus()}` within `section`. */
export function releaseDetail(section) {
  const back = h("a", { class: "back", href: "#" }, "← All releases");
  const verdict = badge(true);
  const act = action();
  const title = h("h2", { tabindex: "-1" });
  const why = h("p", { class: "why" });
  const facts = h("dl", { class: "facts" });
  const problem = h("p", { class: "plain", hidden: true });
  const metrics = part("Evidence", h("div", { class: "metrics" }));
  const quiet = quietMetrics();
  metrics.node.append(quiet.node);
  const series = part("Business series", h("div", { class: "series-grid" }));
  const tables = segmentTables();
  const segments = part("Segments", tables.node);
  const state = h("p", { class: "state" }, verdict.node, act.node);
  const body = h("div", {}, state, why, facts, metrics.node, series.node, segments.node);
  section.append(back, title, problem, body);

  function drawHead({ verdict: v, started, ended, owner }) {
    verdict.update(v.verdict);
    act.update(v.action);
    text(why, v.why);
    title.replaceChildren(name(v.service), " ", name(v.version), ...replacing(v));
    keyed(facts, factsOf(v, started, ended, owner), ({ term }) => term, fact);
  }

  function drawBody(release, evidence, watermark) {
    const markers = moments(release.verdict, evidence?.markers ?? []);
    const groups = metricsOf(release.verdict, evidence);
    const loud = ({ total, harmed }) => total?.evidence?.at.length || harmed.length;
    const panels = groups.flatMap(({ total, harmed }) =>
      [total, ...harmed.slice(0, HARMED)].filter(
        (cell) => cell?.evidence?.at.length || cell?.reason?.state === "degraded",
      ),
    );
    set(metrics.node, "hidden", groups.length === 0);
    keyed(
      metrics.body,
      panels.map((cell) => ({ cell, markers })),
      ({ cell }) => keyOf(standing(cell)),
      () => metricPanel(),
    );
    quiet.update(
      groups.filter((group) => !loud(group) && group.total).map(({ total }) => standing(total)),
    );
    const kinds = new Map((evidence?.metrics ?? []).map(({ metric, kind }) => [metric, kind]));
    const drawn = (evidence?.series ?? []).map((each) => ({
      series: { ...each, kind: kinds.get(each.metric) },
      markers,
      watermark,
    }));
    set(series.node, "hidden", drawn.length === 0);
    keyed(series.body, drawn, (each) => each.series.metric, seriesChart);
    set(segments.node, "hidden", !groups.some((group) => group.segments.length));
    tables.update({ metrics: groups, markers });
  }

  return {
    update({ release, evidence, watermark, problem: said }) {
      set(problem, "hidden", !said);
      text(problem, said ?? "");
      set(body, "hidden", release === null);
      if (release === null) {
        text(title, "No such release");
        return;
      }
      if (changed(section, "head", release)) drawHead(release);
      if (changed(section, "body", [release.verdict.reasons, evidence]))
        drawBody(release, evidence, watermark);
    },
    focus() {
      title.focus();
    },
  };
}

function part(title, body) {
  return { node: h("section", { class: "part" }, h("h3", {}, title), body), body };
}

function replacing(v) {
  return v.replaces ? [h("span", { class: "replaces" }, " replaces ", name(v.replaces))] : [];
}

function factsOf(v, started, ended, owner) {
  const harmed = impact(v);
  const sized = judged(v);
  const time = (at) => (at ? { text: when(at), time: rfc3339(at) } : null);
  const other = (at) => (at === v.since ? null : time(at));
  const suspects = (v.suspects ?? []).filter(
    ({ deployment }) => deployment !== v.deployment || v.suspects.length > 1,
  );
  const strategy = [v.strategy, `${v.design} baseline`].join(", ").replaceAll("_", " ");
  const found = [
    ["Harm so far", harmed && { text: harmed.size, note: `${harmed.range}` }],
    ["Judged", sized && { text: sized.units, note: sized.canary }],
    ["Since", time(v.since)],
    ["First degraded", other(v.first_degraded_at)],
    ["Decided", other(v.decided_at)],
    ["Started", time(started)],
    ["Ended", time(ended)],
    ["Judged up to", time(v.as_of)],
    ["Deployment", { text: v.deployment, id: true }],
    ["Environment", { text: v.environment, id: true }],
    ["Strategy", { text: strategy }],
    ["Owner", (v.owner || owner) && { text: v.owner || owner, id: true }],
    ["Runbook", v.runbook && { text: v.runbook, link: true, id: true }],
    [
      "Most probable causes",
      suspects.length > 0 && { text: suspects.slice(0, 5).map(suspicion).join(", ") },
    ],
    [
      "Weight",
      v.indicative && { text: "indicative", note: "a weaker comparison; it never rolls back" },
    ],
    ["Mode", v.mode === "observe" && { text: "observe", note: "every gate answers wait" }],
    ["A fixed rule would say", v.fixed_rule && fixedRule(v.fixed_rule)],
    ["Policy", v.policy && { text: v.policy, id: true }],
  ];
  return found.filter(([, value]) => value).map(([term, value]) => ({ term, ...value }));
}

const suspicion = ({ deployment, probability }) =>
  `${deployment} ${Math.round(probability * 100)}\u202f%`;

const fixedRule = ({ verdict, metrics }) => ({
  text: verdict,
  note: metrics.map(spoken).join(", "),
});

function fact(item) {
  const kind =
    item.link && /^https?:\/\//i.test(item.text)
      ? "a"
      : item.time
        ? "time"
        : item.id
          ? "bdi"
          : "span";
  const value = h(kind, { class: "value" });
  const note = h("span", { class: "note" });
  const node = h(
    "div",
    { class: item.id ? "fact long" : "fact" },
    h("dt", {}, item.term),
    h("dd", {}, value, " ", note),
  );
  return {
    node,
    update({ text: said, note: aside, time, id }) {
      text(value, said);
      text(note, aside ?? "");
      if (id) set(value, "title", said);
      if (time) set(value, "datetime", time);
      if (kind !== "a") return;
      // Only ever http(s), checked again on each change: a runbook comes from a marker.
      set(value, "href", /^https?:\/\//i.test(said) ? said : null);
      set(value, "rel", "noreferrer noopener");
      set(value, "target", "_blank");
    },
  };
}
