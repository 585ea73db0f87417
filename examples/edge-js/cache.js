// A cache in two levels: the worker's memory, and a store that all workers share. Nothing is served that the
// engine refuses.

import { now } from "./engine.js";

const LIFETIME = 60_000_000n;

// `store` is a Map here and a KV namespace at the edge: it only knows values and the bytes of their headers.
export function createCache(engine, store) {
  const memory = new Map();

  // The engine knows its own entries and judges them exactly, but for their lifetime.
  function fromMemory(key) {
    const kept = memory.get(key);
    const verdict = kept?.expires > now() ? kept.entry.judge() : { tag: "expired" };
    return kept && { from: "memory", value: kept.value, verdict };
  }

  // What another worker may have sealed is judged by its header.
  async function fromStore(key) {
    const kept = await store.get(key);
    return kept && { from: "store", value: kept.value, verdict: engine.judge(kept.header, now()) };
  }

  // The fill begins *before* the value is computed: if that is invalidated meanwhile, `seal` refuses it.
  async function compute(key, tags, origin) {
    const before = memory.get(key);
    const fill = engine.begin(now());
    const value = await origin();
    const current = memory.get(key);
    // Of computations that overlap the first one counts: what was served must not go back in time.
    if (current === before || current?.entry.judge().tag !== "fresh") {
      await keep(key, value, () => engine.seal(fill, tags, undefined, now()));
    } else {
      fill[Symbol.dispose]();
    }
    return { from: "origin", value };
  }

  async function keep(key, value, seal) {
    try {
      const entry = seal();
      const expires = now() + LIFETIME;
      memory.get(key)?.entry[Symbol.dispose]();
      memory.set(key, { value, entry, expires });
      await store.set(key, { value, header: entry.header(now(), expires) });
    } catch (error) {
      // Refused: whoever asked for the value may have it, but nobody else.
      if (error.payload?.tag !== "verdict") {
        throw error;
      }
    }
  }

  // {from, value, refused: [{from, verdict}]}; `origin` computes what is not found.
  async function get(key, tags, origin) {
    const refused = [];
    for (const look of [fromMemory, fromStore]) {
      const found = await look(key);
      if (found?.verdict.tag === "fresh") {
        return { ...found, refused };
      }
      if (found) {
        refused.push(found);
      }
    }
    return { ...(await compute(key, tags, origin)), refused };
  }

  return { get };
}
