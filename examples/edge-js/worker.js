// An edge worker that caches the products of a shop. At the edge its module ends with
// `export default createWorker({ ... })`.

import { createCache } from "./cache.js";
import { newEngine, now } from "./engine.js";
import { encodeTail, puller } from "./gossip.js";

// `origin` computes a product, `store` is shared by all workers.
export function createWorker({ nodeId, origin, store }) {
  const engine = newEngine(nodeId);
  const cache = createCache(engine, store);

  async function product(id) {
    const tags = [`org:1:store:2:product:${id}`];
    const { from, value, refused } = await cache.get(`product:${id}`, tags, () => origin(id));
    const reasons = refused.map(({ from, verdict }) => `${from}: ${verdict.tag}`);
    return Response.json(value, { headers: { "x-from": from, "x-refused": reasons.join(", ") } });
  }

  function invalidate(tags) {
    try {
      return Response.json({ at: String(engine.invalidate(tags, now())) });
    } catch (error) {
      return Response.json(error.payload, { status: 400 });
    }
  }

  function tail(after) {
    return new Response(encodeTail(engine.tail(BigInt(after))));
  }

  return {
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      const id = pathname.match(/^\/product\/(\d{1,4})$/)?.[1];
      if (request.method === "GET" && id) {
        return product(id);
      }
      if (request.method === "POST" && pathname === "/invalidate" && searchParams.has("tag")) {
        return invalidate(searchParams.getAll("tag"));
      }
      if (request.method === "GET" && pathname === "/tail" && /^\d{1,16}$/.test(searchParams.get("after"))) {
        return tail(searchParams.get("after"));
      }
      return new Response("GET /product/7, or POST /invalidate?tag=org:1\n", { status: 404 });
    },

    follow: (peer) => puller(engine, peer),
  };
}
