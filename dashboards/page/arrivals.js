// What arrives, and what to do next: send a first event, or mark a release.
//
// Commands are filled with names that really arrived, and quoted for a shell: a name is hostile
// until it is quoted, and whoever copies the command runs it.

import { h, keyed, name, rename, set, text } from "./elements.js";
import { count, rfc3339, when } from "./words.js";

const FIRST = 12;
const DAY = 86_400_000;
const PLACEHOLDER = "NEW_VERSION";
const natural = new Intl.Collator("en", { numeric: true }).compare;

/** The section as `{update({arrivals, releases, now})}`. */
export function arrivalsSection(section) {
  const title = h("h2", { id: "arrivals-title" });
  const lead = h("p", { class: "lead" });
  const names = ["Service", "Event type", "Environment", "Versions", "Events", "Last"];
  const head = h(
    "thead",
    {},
    h(
      "tr",
      {},
      names.map((each) =>
        h("th", { scope: "col", class: each === "Events" ? "number" : null }, each),
      ),
    ),
  );
  const body = h("tbody", {});
  const more = h("button", {
    type: "button",
    class: "more",
    onclick: () => {
      all = !all;
      show();
    },
  });
  const table = h("div", { class: "scroll" }, h("table", {}, head, body));
  const guide = h("div", { class: "guide" });
  const steps = {
    shell: command("From a shell or a CI job"),
    curl: command("The same over HTTP"),
    first: command("Send a first event"),
  };
  guide.append(steps.first.node, steps.shell.node, steps.curl.node);
  section.append(title, lead, guide, table, more);
  let all = false;
  let rows = [];

  function show() {
    keyed(
      body,
      all ? rows : rows.slice(0, FIRST),
      ({ environment, service, type }) => JSON.stringify([environment, service, type]),
      row,
    );
    set(more, "hidden", rows.length <= FIRST);
    text(more, all ? "Show fewer" : `Show all ${count(rows.length)}`);
    set(more, "aria-expanded", String(all));
  }

  return {
    update({ arrivals, releases, now }) {
      rows = [...arrivals].sort((a, b) => b.events - a.events);
      const empty = rows.length === 0;
      const marked = releases.length > 0;
      text(
        title,
        empty ? "Nothing has arrived yet" : marked ? "What arrives" : "No release is known yet",
      );
      const release = candidate(rows);
      text(lead, leadOf(empty, marked, release.version === PLACEHOLDER));
      set(lead, "hidden", !empty && marked);
      set(table, "hidden", empty);
      set(guide, "hidden", !empty && marked);
      set(steps.first.node, "hidden", !empty);
      set(steps.shell.node, "hidden", empty);
      set(steps.curl.node, "hidden", empty);
      if (empty) steps.first.update(firstEvent());
      else if (!marked) {
        steps.shell.update(markCommand(release, now));
        steps.curl.update(markRequest(release, now));
      }
      show();
    },
  };
}

function leadOf(empty, marked, open) {
  if (empty) {
    return (
      "Send events as they happen: NDJSON, a JSON array or CloudEvents. " +
      "One line is enough to see it here."
    );
  }
  if (marked) return "";
  const fill = open ? ` Put the version that you release for ${PLACEHOLDER}.` : "";
  return (
    "Events arrive. To have a release judged, say when it starts: one command in the pipeline " +
    `that deploys it.${fill}`
  );
}

function row() {
  const service = name("");
  const type = name("");
  const environment = name("");
  const versions = name("", "versions");
  const events = h("td", { class: "number" });
  const last = h("time", {});
  const node = h(
    "tr",
    {},
    h("th", { scope: "row" }, service),
    h("td", {}, type),
    h("td", {}, environment),
    h("td", {}, versions),
    events,
    h("td", {}, last),
  );
  return {
    node,
    update(item) {
      rename(service, item.service);
      rename(type, item.type);
      rename(environment, item.environment);
      rename(versions, [...item.versions].sort(natural).reverse().join(", ") || "none");
      text(events, count(item.events));
      text(last, when(item.last));
      set(last, "datetime", rfc3339(item.last));
    },
  };
}

function command(title) {
  const code = h("code", {});
  const said = h("span", { class: "copied", role: "status" });
  const copy = h("button", { type: "button", class: "copy", onclick: take }, "Copy");
  const node = h(
    "div",
    { class: "command" },
    h("h3", {}, title),
    copy,
    said,
    h("pre", { tabindex: "0" }, code),
  );

  async function take() {
    try {
      await navigator.clipboard.writeText(code.textContent);
      text(said, "Copied");
    } catch {
      // Without a secure context there is no clipboard: select the text, so that one key copies it.
      getSelection().selectAllChildren(code);
      text(said, "Selected: press Ctrl+C");
    }
    setTimeout(() => text(said, ""), 4000);
  }

  return { node, update: (words) => text(code, words) };
}

const SAFE = /^[\w.,:@%+=/-]+$/;
const CONTROL = /[\u0000-\u001f\u007f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

/** A word as a POSIX shell reads it back unchanged. */
export function quoted(word) {
  return SAFE.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The release that arrivals suggest: the busiest service, its newest version and the one before. */
export function candidate(arrivals) {
  const printable = arrivals.filter(
    ({ service, environment }) => !CONTROL.test(service + environment),
  );
  const sizes = new Map();
  for (const { service, events, versions } of printable) {
    sizes.set(service, (sizes.get(service) ?? 0) + events + (versions.length ? 1e15 : 0));
  }
  const [busiest = ["SERVICE"]] = [...sizes].sort((a, b) => b[1] - a[1]);
  const own = printable.filter(({ service }) => service === busiest[0]);
  const seen = new Set(own.flatMap(({ versions }) => versions));
  const versions = [...seen]
    .filter((version) => version && !CONTROL.test(version))
    .sort(natural)
    .reverse();
  const [newest, before] = versions.length > 1 ? versions : [PLACEHOLDER, versions[0]];
  return {
    service: busiest[0],
    version: newest,
    replaces: before ?? null,
    environment: own[0]?.environment ?? "production",
  };
}

const DEFAULT = /^http:\/\/(127\.0\.0\.1|localhost):8600\/$/;
const home = () => new URL("./", location.href).href;

function markCommand({ service, version, replaces, environment }, now) {
  const words = [
    "plimsoll",
    "mark",
    "started",
    "--service",
    quoted(service),
    "--version",
    quoted(version),
  ];
  if (replaces) words.push("--replaces", quoted(replaces));
  words.push("--share", "0.1");
  if (environment !== "production") words.push("--environment", quoted(environment));
  if (isPast(now)) words.push("--time", rfc3339(now));
  if (!DEFAULT.test(home())) words.push("--url", quoted(home().replace(/\/$/, "")));
  return words.join(" ");
}

function markRequest({ service, version, replaces, environment }, now) {
  const deployment = `${service}-${version}`;
  const marker = {
    id: `${deployment}-started`,
    time: "TIME",
    type: "deployment.started",
    deployment,
    service,
    version,
    ...(replaces ? { replaces } : {}),
    strategy: "canary",
    share: 0.1,
    environment,
  };
  return request("v1/markers", "application/json", marker, now);
}

function firstEvent() {
  const event = {
    id: "o-1",
    time: "TIME",
    type: "order.submitted",
    service: "order-api",
    version: "1.41.3",
    outcome: "ok",
    value: 12.5,
    attributes: { country: "Germany" },
  };
  return request("v1/events", "application/x-ndjson", event, null);
}

const isPast = (now) => now !== null && Math.abs(Date.now() - now) > DAY;

function request(path, type, body, now) {
  const written = JSON.stringify(body).replaceAll("'", "'\\''");
  // The shell fills in the time at which it runs; a stream of the past needs a time of its own.
  const time = isPast(now) ? rfc3339(now) : "'$(date -u +%Y-%m-%dT%H:%M:%SZ)'";
  return [
    `curl -sS ${quoted(new URL(path, home()).href)}`,
    `  -H ${quoted(`Content-Type: ${type}`)}`,
    `  -d '${written.replace('"time":"TIME"', `"time":"${time}"`)}'`,
  ].join(" \\\n");
}
