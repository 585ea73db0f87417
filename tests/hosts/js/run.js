// Runs the conformance vectors on the component in Node: all of them, or those of the files that are named.

import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { judgementTimes } from "./timing.js";
import { runVector } from "./vector.js";
import { readWit } from "./wit.js";

const FOLDER = fileURLToPath(new URL("../../conformance/", import.meta.url));
const { devDependencies } = JSON.parse(readFileSync(new URL("package.json", import.meta.url)));

function files() {
  if (process.argv.length > 2) {
    return process.argv.slice(2);
  }
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
  return names.sort().map((name) => FOLDER + name);
}

const wit = readWit(new URL("../../../wit/", import.meta.url), ["types", "tags", "headers", "engine"]);
// First: what the vectors leave to the compiler and the collector would slow it down.
const { judge, judgeMany } = judgementTimes();
let passed = 0;
let total = 0;
for (const file of files()) {
  for (const vector of JSON.parse(readFileSync(file))) {
    const fault = runVector(wit, vector);
    total += 1;
    passed += fault ? 0 : 1;
    if (fault) {
      console.error(`FAILED: "${vector.name}" of ${basename(file)}, ${fault}\n`);
    }
  }
}

const versions = `jco ${devDependencies["@bytecodealliance/jco"]}, Node ${process.versions.node}`;
console.log(`javascript (${versions}): ${passed} of ${total} vectors`);
console.log(`  judge ${judge.toFixed(2)} µs, judge-many of 1000 ${judgeMany.toFixed(0)} µs (medians)`);
process.exitCode = total > 0 && passed === total ? 0 : 1;
