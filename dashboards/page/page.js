// The page: polls, keeps the last picture, and gives each part what it shows.
//
// One poll at a time, every two seconds, none while the page is hidden. A part is redrawn where
// its data differs. When the server cannot be reached, the last picture stays, with its age.

import { arrivalsSection } from "./arrivals.js";
import { changed, set, text } from "./elements.js";
import { headerStats, noticeOf } from "./header.js";
import { releaseDetail } from "./release.js";
import { releaseList } from "./releases.js";
import { fetchText, parsed } from "./wire.js";

const EVERY_MS = 2000;
const SLOWEST_MS = 10_000;

const find = (id) => document.getElementById(id);
const parts = {
  stats: headerStats(find("stats")),
  list: releaseList(find("releases")),
  detail: releaseDetail(find("release")),
  arrivals: arrivalsSection(find("arrivals")),
};
const state = {
  page: null,
  evidence: null,
  problem: null,
  selected: selection(),
  failing: null,
  failures: 0,
  timer: null,
  busy: false,
  text: null, // of the page's data as it came
  asOf: null, // what the evidence belongs to
};

function selection() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    return location.hash.slice(1);
  }
}

async function readPage() {
  const body = await fetchText("v1/page");
  if (body === state.text) return;
  state.page = parsed("v1/page", body);
  state.text = body;
}

async function poll() {
  clearTimeout(state.timer);
  if (state.busy || document.hidden) return;
  state.busy = true;
  const asked = state.selected;
  try {
    await readPage();
    await readEvidence(asked);
    state.failing = null;
    state.failures = 0;
  } catch (error) {
    state.failing = { since: state.failing?.since ?? Date.now(), why: error.message };
    state.failures += 1;
  }
  state.busy = false;
  try {
    render();
  } finally {
    // Even a picture that cannot be drawn is asked for again: the next one may be sound.
    const wait = Math.min(SLOWEST_MS, EVERY_MS * 2 ** Math.max(0, state.failures - 1));
    if (!document.hidden) state.timer = setTimeout(poll, asked === state.selected ? wait : 0);
  }
}

async function readEvidence(deployment) {
  const release = state.page.releases.find(({ verdict }) => verdict.deployment === deployment);
  if (release === undefined) {
    const unknown = `No release called “${deployment}” is known here.`;
    Object.assign(state, { evidence: null, asOf: null, problem: deployment && unknown });
    return;
  }
  // Evidence is dear to compute. It moves with its verdict and, until the release ends, with time.
  const asOf = JSON.stringify([release, release.ended === null ? state.page.watermark : null]);
  if (asOf === state.asOf) return;
  const path = `v1/evidence/${encodeURIComponent(deployment)}`;
  let found;
  try {
    found = { asOf, evidence: parsed(path, await fetchText(path)), problem: null };
  } catch (error) {
    if (error.status !== 404) throw error;
    found = { asOf, evidence: null, problem: "No evidence over time is kept for this release." };
  }
  if (deployment === state.selected) Object.assign(state, found);
}

function render() {
  const { page, selected } = state;
  const notice = noticeOf(page, state.failing);
  const bar = find("notice");
  set(bar, "hidden", notice === null);
  set(bar, "data-kind", notice?.kind);
  text(bar, notice?.words ?? "");
  if (page === null) {
    text(find("loading"), state.failing ? "Nothing to show yet." : "Reading …");
    return;
  }
  set(find("loading"), "hidden", true);
  set(find("view"), "hidden", false);
  parts.stats.update(page);
  text(find("version"), `plimsoll ${page.version}`);
  if (changed(find("view"), "list", [page.releases, selected])) {
    parts.list.update(page.releases, selected);
    const bad = page.releases.filter(({ verdict }) => verdict.verdict === "degraded").length;
    document.title = bad ? `▲ ${bad} degraded · plimsoll` : "plimsoll";
  }
  if (changed(find("view"), "arrivals", [page.arrivals, page.releases.length]))
    parts.arrivals.update(page);
  const release = page.releases.find(({ verdict }) => verdict.deployment === selected) ?? null;
  set(find("view"), "data-showing", selected === null ? "list" : "release");
  set(find("releases"), "hidden", page.releases.length === 0);
  set(find("release"), "hidden", selected === null);
  set(find("arrivals"), "hidden", selected !== null);
  if (selected !== null)
    parts.detail.update({
      release,
      evidence: state.evidence,
      watermark: page.watermark,
      problem: state.problem,
    });
}

function select() {
  state.selected = selection();
  state.evidence = null;
  state.problem = null;
  state.asOf = null;
  if (state.page === null) return;
  render();
  poll();
  // Where the list has given way to the detail, the keyboard must follow; beside it, stay.
  if (state.selected !== null && !find("releases").offsetParent) parts.detail.focus();
  if (state.selected !== null) find("release").scrollIntoView({ block: "nearest" });
}

addEventListener("hashchange", select);
document.addEventListener("visibilitychange", poll);
find("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash belongs to the selection
  find("main").focus();
});
poll();
