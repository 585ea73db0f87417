// The component, as jco transpiled it into dist/js (`npm run transpile`).

import { readFileSync } from "node:fs";
import { instantiate } from "../../../dist/js/engine.js";

const compiled = new Map();

function coreModule(file) {
  if (!compiled.has(file)) {
    const bytes = readFileSync(new URL(`../../../dist/js/${file}`, import.meta.url));
    compiled.set(file, new WebAssembly.Module(bytes));
  }
  return compiled.get(file);
}

// A new instance, with a memory of its own. It imports nothing.
export function newInstance() {
  return instantiate(coreModule, {});
}
