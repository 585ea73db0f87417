// Runs one conformance vector: a script of calls, each compared with what it must give.

import { isDeepStrictEqual } from "node:util";
import { newInstance } from "./component.js";
import { Conversion, camelCase } from "./values.js";

const CONFIG = {
  domain: { high: 0, low: 7 },
  order: "alone",
  "max-drift": 500000,
  "hash-seed": 0,
  "node-id": 1,
  "entries-outside": true,
};

const STEP_KEYS = new Set(["call", "on", "with", "as", "gives", "saves", "drop"]);

const LONGEST_SHOWN = 600;

// Returns what is wrong, or undefined.
export function runVector(wit, vector) {
  const run = new Run(wit, vector.config ?? {});
  for (const [place, step] of vector.steps.entries()) {
    const fault = faultOf(run, step, vector["always-restore"]);
    if (fault) {
      return `step ${place + 1}, ${show(step)}\n${fault}`;
    }
  }
}

function faultOf(run, step, restores) {
  try {
    const fault = run.step(step);
    if (restores) {
      run.restore();
    }
    return fault;
  } catch (error) {
    return `  trapped, or could not be called: ${error.stack}`;
  }
}

function show(json) {
  const text = JSON.stringify(json);
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}

class Run {
  // An instance for each vector: what one leaves behind cannot reach another.
  constructor(wit, config) {
    this.wit = wit;
    this.component = newInstance();
    this.resources = new Map();
    this.saved = new Map();
    this.values = new Conversion(wit.types, {
      resource: (name) => this.resource(name),
      nameOf: (resource) => this.name(resource),
    });
    this.config = this.configOf(config);
    this.resources.set("engine", new this.component.engine.Engine(this.config));
  }

  configOf(json) {
    return this.values.toJco({ kind: "named", name: "config" }, { ...CONFIG, ...json });
  }

  resource(name) {
    const found = this.resources.get(name.slice(1));
    if (!found) {
      throw new Error(`the vector names no such resource: ${name}`);
    }
    return found;
  }

  // A resource that a call returned gets the name that its step has for it.
  name(resource) {
    this.resources.set(this.nextName, resource);
    return `@${this.nextName}`;
  }

  restore() {
    const engine = this.resource("@engine");
    this.resources.set("engine", this.component.engine.Engine.restore(this.config, engine.snapshot()));
    engine[Symbol.dispose]();
  }

  step(step) {
    const unknown = Object.keys(step).filter((key) => !STEP_KEYS.has(key));
    if (unknown.length > 0) {
      return `  the step has unknown keys: ${unknown}`;
    }
    if (step.drop) {
      this.resource(step.drop)[Symbol.dispose]();
      this.resources.delete(step.drop.slice(1));
      return undefined;
    }
    const got = this.call(step);
    return this.check(step, got);
  }

  check({ gives, saves }, got) {
    const expected = this.fillIn(gives);
    if (gives === undefined ? got?.err !== undefined : !isDeepStrictEqual(got, expected)) {
      return `  expected ${gives === undefined ? "no err" : show(expected)}\n  got      ${show(got)}`;
    }
    if (saves) {
      this.saved.set(saves, got?.ok ?? got);
    }
  }

  // Puts saved results where "$name" stands for them.
  fillIn(json) {
    if (typeof json === "string") {
      return json.startsWith("$") ? (this.saved.get(json.slice(1)) ?? json) : json;
    }
    if (Array.isArray(json)) {
      return json.map((item) => this.fillIn(item));
    }
    if (json !== null && typeof json === "object") {
      return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, this.fillIn(value)]));
    }
    return json;
  }

  // The result of a call as JSON: `null` if it has none.
  call({ call, on = "@engine", with: json = [], as }) {
    const { owner, target } = this.targetOf(on);
    const known = this.wit.functions.get(`${owner}.${call}`);
    if (!known || known.parameters.length !== json.length) {
      throw new Error(`the vector calls ${owner}.${call} with ${json.length} arguments`);
    }
    const given = known.parameters.map((type, place) => this.argument(type, json[place]));
    const receiver = known.isStatic ? target.constructor : target;
    this.nextName = as;
    return this.outcome(known.result, () => receiver[camelCase(call)](...given));
  }

  targetOf(on) {
    if (!on.startsWith("@")) {
      return { owner: on, target: this.component[on] };
    }
    const target = this.resource(on);
    return { owner: target.constructor.name.toLowerCase(), target };
  }

  argument(type, json) {
    return type.name === "config" ? this.configOf(json) : this.values.toJco(type, this.fillIn(json));
  }

  // jco returns what is `ok` and throws what is `err`, as the payload of an error.
  outcome(type, call) {
    if (type?.kind !== "result") {
      const value = call();
      return type ? this.values.toJson(type, value) : null;
    }
    try {
      return this.values.toJson(type, { tag: "ok", val: call() });
    } catch (error) {
      if (!("payload" in error)) {
        throw error;
      }
      return this.values.toJson(type, { tag: "err", val: error.payload });
    }
  }
}
