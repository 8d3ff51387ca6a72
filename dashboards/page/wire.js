// Wire: asks this page's own server, and nothing else, and gives every field that is drawn a value.

const PATIENCE_MS = 10_000;

/** The server gave no answer, or one that is no success; `status` is null without an answer. */
export class Unreachable extends Error {
  constructor(message, status = null) {
    super(message);
    this.status = status;
  }
}

/** The body at a path relative to the page; raises Unreachable. */
export async function fetchText(path) {
  let answer;
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    answer = await fetch(path, {
      cache: "no-cache",
      headers: { Accept: "application/json" },
      signal,
    });
    if (answer.ok) return await answer.text();
  } catch (error) {
    const late = error.name === "TimeoutError" || error.name === "AbortError";
    throw new Unreachable(late ? "it does not answer" : "it cannot be reached");
  }
  throw new Unreachable(`it answers ${answer.status}`, answer.status);
}

const COUNTS = { events: 0, duplicates: 0, conflicts: 0, late: 0, rejected: 0, markers: 0 };
const PAGE = {
  version: "",
  watermark: null,
  now: null,
  quiet_seconds: null,
  rejected_by_reason: {},
};

/** The answer at a path as a value with all its lists; raises Unreachable where it is no JSON. */
export function parsed(path, body) {
  let value;
  try {
    value = JSON.parse(body);
  } catch {
    throw new Unreachable("its answer is not JSON");
  }
  if (value === null || typeof value !== "object") throw new Unreachable("its answer is no object");
  if (path !== "v1/page") {
    return {
      ...value,
      markers: value.markers ?? [],
      metrics: value.metrics ?? [],
      series: value.series ?? [],
    };
  }
  const counts = { ...COUNTS, ...value.counts };
  return {
    ...PAGE,
    ...value,
    counts,
    arrivals: value.arrivals ?? [],
    releases: value.releases ?? [],
  };
}
