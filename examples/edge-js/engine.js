// The engine of a worker, from the component as `npm run transpile` in tests/hosts/js makes it.

import { readFileSync } from "node:fs";
import { instantiate } from "../../dist/js/engine.js";

// How far the clocks of two workers may be apart, in microseconds.
export const MAX_DRIFT = 500_000n;

// The engine has no clock: each call is told the time.
export function now() {
  return BigInt(Date.now()) * 1000n;
}

// Where modules are imported instead of read, as at the edge, this function gives what was imported.
function coreModule(file) {
  return new WebAssembly.Module(readFileSync(new URL(`../../dist/js/${file}`, import.meta.url)));
}

// Workers that share entries name the same domain; each has a node id of its own.
export function newEngine(nodeId) {
  const { Engine } = instantiate(coreModule, {}).engine;
  return new Engine({
    domain: { high: 0n, low: 2026n },
    order: "gossip",
    maxDrift: MAX_DRIFT,
    hashSeed: crypto.getRandomValues(new BigUint64Array(1))[0],
    nodeId,
    entriesOutside: true,
  });
}
