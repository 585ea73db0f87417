// What happens now: server-sent events, and the history that they make up.

import { byId } from "./dom.js";
import { setClock } from "./format.js";

/** Milliseconds without news after which something is wrong. */
const SILENCE = 6_000;
const MOST_SAMPLES = 600;
const MOST_INVALIDATIONS = 200;

/** What is known, as far as it was told. */
export const known = { samples: [], invalidations: [], functions: [], nodes: [], stats: null };

let heard = Date.now();
let told = null;

/** Listens for ever; `changed(news)` is called after each event, with the invalidations that are new. */
export function listen(changed) {
  const source = new EventSource("events");
  const receive = (event) => {
    heard = Date.now();
    const news = take(JSON.parse(event.data));
    report();
    changed(news);
  };
  source.addEventListener("history", receive);
  source.addEventListener("look", receive);
  source.addEventListener("error", () => {
    // A browser does not try again after an answer that is no stream.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(changed), 2_000);
    report();
  });
}

function take(event) {
  setClock(event.now);
  told = event.trouble;
  for (const name of ["functions", "nodes", "stats"]) if (event[name] !== undefined) known[name] = event[name];
  const samples = event.samples.map((row) => {
    const sample = Object.fromEntries(event.fields.map((name, place) => [name, row[place]]));
    return { ...sample, at: Date.parse(sample.at) };
  });
  const { samples: before } = known;
  const first = before[0]?.at ?? Infinity;
  const last = before.at(-1)?.at ?? -Infinity;
  // Another process behind the same address may tell of the same time again.
  const added = samples.filter(({ at }) => at < first || at > last);
  known.samples = [...added.filter(({ at }) => at < first), ...before, ...added.filter(({ at }) => at > last && at >= first)];
  if (!before.length) known.samples = samples;
  known.samples = known.samples.slice(-MOST_SAMPLES);
  const positions = new Set(known.invalidations.map(({ position }) => position));
  const news = event.invalidations.filter(({ position }) => !positions.has(position));
  known.invalidations = [...news, ...known.invalidations].sort((a, b) => b.position - a.position).slice(0, MOST_INVALIDATIONS);
  return news;
}

/** Shows whether there are news, and what is wrong. */
export function report() {
  const silence = Date.now() - heard;
  const isSilent = silence > SILENCE;
  const trouble = isSilent
    ? `Nothing was heard for ${Math.round(silence / 1000)} s: the server of this page, or the cache, does not answer.`
    : told && `The cache cannot be looked at now: ${told}`;
  const banner = byId("trouble");
  banner.hidden = !trouble;
  if (banner.textContent !== (trouble ?? "")) banner.textContent = trouble ?? "";
  const state = trouble ? "trouble" : known.samples.length ? "live" : "connecting";
  const live = byId("live");
  if (live.dataset.state !== state) {
    live.dataset.state = state;
    live.textContent = state;
  }
}
