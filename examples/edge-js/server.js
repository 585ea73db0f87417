// Two workers over HTTP in one Node process, instead of an edge network.

import { createServer } from "node:http";
import { createWorker } from "./worker.js";

// Each reading of a product is numbered, so that one sees which one is served.
function createOrigin() {
  let readings = 0;
  return async (id) => ({ id, reading: ++readings });
}

async function answer(worker, incoming, outgoing) {
  try {
    const request = new Request(`http://edge${incoming.url}`, { method: incoming.method });
    const response = await worker.fetch(request);
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.end(await response.text());
  } catch (error) {
    outgoing.writeHead(500).end(`${error}\n`);
  }
}

function listen(worker, port) {
  const server = createServer((incoming, outgoing) => answer(worker, incoming, outgoing));
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () =>
      resolve({ server, url: `http://127.0.0.1:${server.address().port}` }),
    );
  });
}

function stop({ server }) {
  server.close();
  server.closeAllConnections();
}

// Serves at `port` and the next one, or at free ones if it is 0. `exchange` has each worker ask the other.
export async function startWorkers(port) {
  const shared = { origin: createOrigin(), store: new Map() };
  const workers = [1n, 2n].map((nodeId) => createWorker({ nodeId, ...shared }));
  const first = await listen(workers[0], port);
  const second = await listen(workers[1], port && port + 1);
  const pulls = [workers[0].follow(second.url), workers[1].follow(first.url)];
  return {
    urls: [first.url, second.url],
    exchange: () => Promise.allSettled(pulls.map((pull) => pull())),
    stop: () => [first, second].forEach(stop),
  };
}
