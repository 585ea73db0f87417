// Workers tell each other what was invalidated: each asks the others what they applied since it last asked.

import { now } from "./engine.js";

// 64-bit numbers are texts in JSON.
export function encodeTail(tail) {
  return JSON.stringify(tail, (_, value) => (typeof value === "bigint" ? String(value) : value));
}

function decodeTail({ messages, to, isComplete }) {
  const decode = ({ origin, at, tags }) => ({ origin: BigInt(origin), at: BigInt(at), tags });
  return { messages: messages.map(decode), to: BigInt(to), isComplete };
}

// Returns a function that asks the peer at a URL. If it fails, it asks from the same position the next time.
export function puller(engine, peer) {
  let known = 0n;
  return async () => {
    const response = await fetch(`${peer}/tail?after=${known}`);
    const { messages, to, isComplete } = decodeTail(await response.json());
    for (const message of messages) {
      engine.apply(message, now());
    }
    if (!isComplete) {
      engine.clear(now()); // the peer has forgotten messages, which could have concerned anything
    }
    known = to;
  };
}
