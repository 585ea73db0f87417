// Run `node main.js` for a demonstration, or `node main.js serve [PORT]` to try the workers with curl.

import { demonstrate } from "./demo.js";
import { startWorkers } from "./server.js";

const EXCHANGE_EVERY = 100;

async function serve(port) {
  const { urls, exchange } = await startWorkers(port);
  setInterval(exchange, EXCHANGE_EVERY);
  urls.forEach((url, place) => console.log(`worker ${place + 1}: ${url}`));
}

const [command, port = "8787"] = process.argv.slice(2);
if (command === undefined) {
  await demonstrate();
} else if (command === "serve" && /^\d{1,5}$/.test(port)) {
  await serve(Number(port));
} else {
  console.error("usage: node main.js [serve [PORT]]");
  process.exitCode = 2;
}
