// What a reader of two workers sees around an invalidation.

import { setTimeout as sleep } from "node:timers/promises";
import { MAX_DRIFT } from "./engine.js";
import { startWorkers } from "./server.js";

const WINDOW = Number(2n * MAX_DRIFT) / 1000;

export async function demonstrate() {
  const { urls, exchange, stop } = await startWorkers(0);

  async function read(worker, id, why) {
    const response = await fetch(`${urls[worker - 1]}/product/${id}`);
    const { reading } = await response.json();
    const from = response.headers.get("x-from").padEnd(6);
    const refused = response.headers.get("x-refused");
    console.log(`  worker ${worker}  product ${id}  reading ${reading} from ${from}  ${why}`);
    if (refused) {
      console.log(`                         refused ${refused}`);
    }
  }

  console.log("Two workers share a store.\n");
  await read(1, 7, "nobody has it: computed, and sealed by 1");
  await read(1, 7, "its own entry");
  await read(2, 7, "sealed by 1, judged by its header");

  console.log("\nPOST /invalidate?tag=org:1 at worker 1; then the workers exchange what they know.\n");
  const begin = Date.now();
  await fetch(`${urls[0]}/invalidate?tag=org:1`, { method: "POST" });
  await exchange();
  await read(2, 7, "computed again, and sealed by 2");
  await read(2, 7, "its own entry");
  await read(1, 7, "sealed by 2 after the invalidation, but so shortly that the clocks could deceive");

  console.log(`\nMore than ${WINDOW} ms later, which is twice what clocks may differ:\n`);
  await sleep(begin + WINDOW + 100 - Date.now());
  await read(2, 8, "computed, and sealed by 2");
  await read(1, 8, "sealed by 2, accepted");
  stop();
}
