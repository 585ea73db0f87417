// What a judgement costs from JavaScript.

import { newInstance } from "./component.js";

const TAGS = ["org:1:item1", "org:1:item2", "org:1:item3"];
const CONFIG = {
  domain: { high: 0n, low: 7n },
  order: "alone",
  maxDrift: 500000n,
  hashSeed: 0n,
  nodeId: 1n,
  entriesOutside: true,
};

// Microseconds for a `judge` of three dependencies of depth 3, and for a `judge-many` of 1000 of them.
export function judgementTimes() {
  const engine = new (newInstance().engine.Engine)(CONFIG);
  engine.invalidate(TAGS, 1n);
  const header = engine.seal(engine.begin(2n), TAGS, undefined, 3n).header(2n, 0n);
  const headers = new Array(1000).fill(header);
  return {
    judge: medianTime(1000, () => engine.judge(header, 4n)),
    judgeMany: medianTime(1, () => engine.judgeMany(headers, 4n)),
  };
}

// The median of rounds of some calls each, for one call; the first rounds warm up.
function medianTime(calls, action) {
  const times = [];
  for (let round = 0; round < 300; round++) {
    const begin = process.hrtime.bigint();
    for (let call = 0; call < calls; call++) {
      action();
    }
    times.push(Number(process.hrtime.bigint() - begin) / 1000 / calls);
  }
  return times.slice(100).sort((one, other) => one - other)[100];
}
