// The header: how far judging has come, what has arrived, and what is wrong with the stream.

import { changed, h, keyed, set, text } from "./elements.js";
import { count, rfc3339, span, when } from "./words.js";

const QUIET_S = 60; // below that, a pause between two orders would look like trouble
const BEHIND_MS = 120_000; // lateness is 30 s by default; four times that is no longer waiting

/** The figures as `{update(page)}` within `section`. */
export function headerStats(section) {
  const time = h("time", {});
  const upTo = h(
    "div",
    { class: "stat time" },
    h("span", { class: "label" }, "Judged up to"),
    time,
  );
  const figures = h("div", { class: "figures" });
  const reasons = h("ul", {});
  const rejected = h("b", {});
  const none = h("p", {}, "Every event so far could be read.");
  const popup = h("div", { class: "popup" }, h("h2", {}, "Rejected, by reason"), reasons, none);
  const details = h(
    "details",
    { class: "stat rejects" },
    h("summary", {}, h("span", { class: "label" }, "Rejected"), rejected),
    popup,
  );
  details.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !details.open) return;
    details.open = false;
    details.querySelector("summary").focus();
  });
  document.addEventListener("click", (event) => {
    if (!details.contains(event.target)) details.open = false;
  });
  section.append(upTo, figures, details);

  return {
    update({ watermark, counts, rejected_by_reason: byReason }) {
      text(time, watermark === null ? "nothing yet" : when(watermark, "second"));
      set(time, "datetime", rfc3339(watermark));
      set(
        time,
        "title",
        watermark === null ? null : `UTC; here ${new Date(watermark).toLocaleString()}`,
      );
      const shown = [
        ["Events so far", counts.events],
        ["Duplicates", counts.duplicates],
        ["Late", counts.late],
        ["Markers", counts.markers],
        ...(counts.conflicts ? [["Conflicts", counts.conflicts]] : []),
      ].map(([term, value]) => ({ term, value }));
      keyed(figures, shown, ({ term }) => term, figure);
      text(rejected, count(counts.rejected));
      set(rejected, "title", String(counts.rejected));
      const found = Object.entries(byReason)
        .filter(([, many]) => many)
        .sort((a, b) => b[1] - a[1]);
      set(none, "hidden", found.length > 0);
      if (changed(reasons, "reasons", found)) {
        reasons.replaceChildren(
          ...found.map(([reason, many]) =>
            h(
              "li",
              {},
              h("bdi", { title: reason }, reason.replaceAll("_", " ")),
              h("b", {}, count(many)),
            ),
          ),
        );
      }
    },
  };
}

function figure({ term }) {
  const value = h("b", {});
  const node = h(
    "div",
    { class: "stat", "data-stat": term },
    h("span", { class: "label" }, term),
    value,
  );
  return {
    node,
    update(item) {
      text(value, count(item.value));
      set(value, "title", String(item.value));
    },
  };
}

/** What to say above everything, as `{kind, words}`, or null where all is well. */
export function noticeOf(page, failing) {
  if (failing) {
    const since = new Date(failing.since).toLocaleTimeString("en-GB");
    const lost = `The server has not answered since ${since} (your clock): ${failing.why}.`;
    return { kind: "lost", words: `${lost} Trying again. ${kept(page)}` };
  }
  const quiet = page?.quiet_seconds;
  if (quiet >= QUIET_S) {
    const silent = `Quiet: no event has arrived for ${span(quiet)}.`;
    return { kind: "quiet", words: `${silent} Silence is judged too, and is never health.` };
  }
  if (page?.watermark !== null && page?.now - page?.watermark > BEHIND_MS) {
    const behind = span((page.now - page.watermark) / 1000);
    return { kind: "behind", words: `Judging is ${behind} behind the newest event.` };
  }
  return null;
}

function kept(page) {
  if (page === null) return "";
  if (page.watermark === null) return "This is the last picture.";
  return `This is the picture of ${when(page.watermark, "second")} UTC.`;
}
