// The example examples/edge-js, run as a user runs it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../../examples/edge-js/main.js", import.meta.url));
const PATIENCE = 20_000;

function start(...args) {
  return spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "inherit"] });
}

async function run(...args) {
  const child = start(...args);
  const lines = [];
  createInterface(child.stdout).on("line", (line) => lines.push(line));
  const [code] = await once(child, "close");
  return { code, lines };
}

// Calls until the result is what is waited for.
async function until(call, isIt) {
  for (const deadline = Date.now() + PATIENCE; ; await sleep(10)) {
    const result = await call();
    if (isIt(result)) {
      return result;
    }
    assert.ok(Date.now() < deadline, `in vain: ${JSON.stringify(result)}`);
  }
}

test("the demonstration shows where each reading comes from, and ends", async () => {
  const { code, lines } = await run();
  const reads = lines.flatMap((line) => line.match(/worker \d +product \d +reading \d from \w+/) ?? []);
  assert.deepEqual(
    reads.map((line) => line.replace(/ +/g, " ")),
    [
      "worker 1 product 7 reading 1 from origin",
      "worker 1 product 7 reading 1 from memory",
      "worker 2 product 7 reading 1 from store",
      "worker 2 product 7 reading 2 from origin",
      "worker 2 product 7 reading 2 from memory",
      "worker 1 product 7 reading 3 from origin",
      "worker 2 product 8 reading 4 from origin",
      "worker 1 product 8 reading 4 from store",
    ],
  );
  assert.equal(code, 0);
});

test("an unknown command is refused", async () => {
  const { code, lines } = await run("sreve");
  assert.deepEqual({ code, lines }, { code: 2, lines: [] });
});

describe("two workers that serve", () => {
  let child;
  let urls;

  before(async () => {
    child = start("serve", "0");
    urls = [];
    for await (const line of createInterface(child.stdout)) {
      urls.push(line.match(/^worker \d: (http:.*)$/)[1]);
      if (urls.length === 2) {
        break;
      }
    }
    assert.equal(urls.length, 2);
  });

  after(() => child.kill());

  async function read(worker, id) {
    const response = await fetch(`${urls[worker - 1]}/product/${id}`);
    const { reading } = await response.json();
    return { reading, from: response.headers.get("x-from"), refused: response.headers.get("x-refused") };
  }

  function post(worker, path) {
    return fetch(urls[worker - 1] + path, { method: "POST" });
  }

  test("a value is computed once and served by both", async () => {
    const { reading, from } = await read(1, 1);
    assert.equal(from, "origin");
    assert.deepEqual(await read(1, 1), { reading, from: "memory", refused: "" });
    assert.deepEqual(await read(2, 1), { reading, from: "store", refused: "" });
  });

  test("the worker that invalidates serves nothing older, and the other one hears of it", async () => {
    const old = await read(1, 2);
    const response = await post(1, "/invalidate?tag=org:9&tag=org:1");
    assert.match((await response.json()).at, /^\d{16}$/);
    const renewed = await read(1, 2);
    assert.equal(renewed.from, "origin");
    assert.ok(renewed.reading > old.reading);
    assert.equal(renewed.refused, "memory: stale, store: stale");
    await until(
      () => read(2, 2),
      ({ reading }) => reading > old.reading,
    );
  });

  test("what the other worker seals is refused shortly after an invalidation, then accepted", async () => {
    await read(2, 3);
    const begin = Date.now();
    await post(1, "/invalidate?tag=org:1");
    await until(
      () => read(2, 3),
      ({ from }) => from === "origin",
    );
    const { from, refused } = await read(1, 3);
    assert.deepEqual({ from, refused }, { from: "origin", refused: "store: stale" });

    let id = 1000;
    async function readNext() {
      id += 1;
      await read(2, id);
      return read(1, id);
    }
    await until(readNext, ({ from }) => from === "store");
    assert.ok(Date.now() - begin >= 1000, "twice what clocks may differ");
  });

  test("something else stays fresh", async () => {
    const { reading } = await read(1, 4);
    await post(1, "/invalidate?tag=org:1:store:2:product:5");
    assert.deepEqual(await read(1, 4), { reading, from: "memory", refused: "" });
  });

  test("what is wrong with a tag is said", async () => {
    const response = await post(1, "/invalidate?tag=org:1&tag=org::1");
    assert.equal(response.status, 400);
    assert.deepEqual(await response.json(), {
      tag: "bad-tag",
      val: { place: 1, broken: { tag: "consecutive-separators" } },
    });
  });

  test("other requests are answered with what there is", async () => {
    for (const path of ["/", "/product/seven", "/tail?after=-1", "/tail", "//"]) {
      const response = await fetch(urls[0] + path);
      assert.equal(response.status, 404, path);
      assert.match(await response.text(), /GET \/product\/7/);
    }
    assert.equal((await post(1, "/invalidate")).status, 404);
  });
});
