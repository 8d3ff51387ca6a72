// The list of releases, newest first, each a link to its detail.

import { action, badge } from "./badges.js";
import { h, keyed, name, rename, set, text } from "./elements.js";
import { impact, judged, worstInWords, VERDICTS } from "./verdicts.js";
import { count, counted, rfc3339, when } from "./words.js";

const FILTER_FROM = 9; // below that, eyes are faster than typing

/** The hash that selects a deployment. */
export const hashOf = (deployment) => `#${encodeURIComponent(deployment)}`;

/** The list as `{update(releases, selected)}`, built into `section`. */
export function releaseList(section) {
  const summary = h("p", { class: "tally" });
  const search = h("input", {
    type: "search",
    placeholder: "service, version, verdict …",
    "aria-label": "Filter the releases",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => show(),
  });
  const list = h("ol", { class: "list" });
  const none = h("p", { class: "plain", hidden: true }, "No release matches the filter.");
  const head = h(
    "div",
    { class: "section-head" },
    h("h2", { id: "releases-title" }, "Releases"),
    summary,
    search,
  );
  section.append(head, list, none);
  let now = { releases: [], selected: null };

  function show() {
    const { releases, selected } = now;
    set(search, "hidden", releases.length < FILTER_FROM && !search.value);
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = releases.filter((release) =>
      words.every((word) => haystack(release).includes(word)),
    );
    const items = kept.map((release) => ({
      ...release,
      selected: release.verdict.deployment === selected,
    }));
    keyed(list, items, ({ verdict }) => verdict.deployment, row);
    set(none, "hidden", kept.length > 0);
    text(summary, tally(releases));
  }

  return {
    update(releases, selected) {
      now = { releases: newestFirst(releases), selected };
      show();
    },
  };
}

function haystack({ verdict: v, owner }) {
  const said = [
    v.deployment,
    v.service,
    v.version,
    v.replaces,
    v.environment,
    v.strategy,
    v.verdict,
    v.action,
    owner,
  ];
  return said.join(" ").replaceAll("_", " ").toLowerCase();
}

/** The releases by start, the newest first; what started together keeps its order. */
export function newestFirst(releases) {
  return [...releases].sort((a, b) => (b.started ?? 0) - (a.started ?? 0));
}

function tally(releases) {
  const said = VERDICTS.map((verdict) => [
    verdict,
    releases.filter((r) => r.verdict.verdict === verdict).length,
  ])
    .filter(([, many]) => many)
    .map(([verdict, many]) => `${count(many)} ${verdict.replaceAll("_", " ")}`);
  return `${counted(releases.length, "releases")}${said.length ? `: ${said.join(", ")}` : ""}`;
}

function row() {
  const verdict = badge();
  const act = action();
  const service = name("", "service");
  const version = name("", "version");
  const replaces = h("span", { class: "replaces" });
  const meta = h("span", { class: "meta" });
  const why = h("span", { class: "why" });
  const worst = h("span", { class: "worst" });
  const since = h("time", {});
  const harm = h("span", { class: "harm" });
  const units = h("span", { class: "judged" });
  const link = h(
    "a",
    { class: "row" },
    h("span", { class: "row-state" }, verdict.node, act.node),
    h(
      "span",
      { class: "row-name" },
      h("span", { class: "title" }, service, " ", version, replaces),
      meta,
    ),
    h("span", { class: "row-why" }, why, worst),
    h("span", { class: "row-size" }, harm, units, h("span", { class: "since" }, "since ", since)),
  );
  const node = h("li", {}, link);

  function update(release) {
    const v = release.verdict;
    set(link, "href", hashOf(v.deployment));
    set(link, "aria-current", release.selected ? "true" : null);
    set(link, "data-deployment", v.deployment);
    verdict.update(v.verdict);
    act.update(v.action);
    rename(service, v.service);
    rename(version, v.version);
    replaces.replaceChildren(...(v.replaces ? [" replaces ", name(v.replaces)] : []));
    const parts = [
      v.environment,
      v.strategy.replaceAll("_", " "),
      ...(v.indicative ? ["indicative"] : []),
      ...(v.mode === "observe" ? ["observed only"] : []),
    ];
    text(meta, parts.join(" · "));
    text(why, v.why);
    set(why, "title", v.why);
    const words = worstInWords(v);
    text(worst, words);
    set(worst, "title", words);
    text(since, when(v.since));
    set(since, "datetime", rfc3339(v.since));
    const harmed = impact(v);
    text(harm, harmed ? `harm ${harmed.size} (${harmed.range})` : "");
    text(units, judged(v) ? `${judged(v).units} judged` : "nothing judged yet");
  }

  return { node, update };
}
