// Reads WIT, so that no table of types has to be kept beside it: as much of the language as wit/ uses.
//
// A type is {kind, ...}: "record" with fields, "variant" with cases, "list" and "option" with `of`, "result"
// with `ok` and `err`, "enum", "resource", "named" with a name, or a primitive.

import { readFileSync } from "node:fs";

const PRIMITIVES = new Set(["bool", "char", "string", "u8", "u16", "u32", "u64"]);

// Reads the interfaces that a component exports, each from the file of its name. They share one table, as no
// two of them give the same name to different types.
//
// Returns {types, functions}. A function is {parameters, result, isStatic} and named `interface.function` or
// `resource.function`.
export function readWit(folder, interfaces) {
  const wit = { types: new Map(), functions: new Map() };
  for (const name of interfaces) {
    const text = readFileSync(new URL(`${name}.wit`, folder), "utf8").replace(/\/\/.*$/gm, "");
    new Reader(text.match(/->|[A-Za-z0-9-]+|\S/g), wit).file();
  }
  return wit;
}

class Reader {
  constructor(tokens, wit) {
    Object.assign(this, { tokens, place: 0, ...wit });
  }

  next() {
    if (this.place === this.tokens.length) {
      throw new Error("WIT: it ends early");
    }
    return this.tokens[this.place++];
  }

  accept(token) {
    const found = this.tokens[this.place] === token;
    this.place += found ? 1 : 0;
    return found;
  }

  expect(token) {
    if (!this.accept(token)) {
      const found = this.tokens.slice(this.place, this.place + 5).join(" ");
      throw new Error(`WIT: ${token} expected before ${found}`);
    }
  }

  skipBehind(token) {
    while (this.next() !== token);
  }

  // What stands between brackets, with commas between and perhaps behind.
  list(open, close, item) {
    const items = [];
    for (this.expect(open); !this.accept(close); this.accept(",")) {
      items.push(item());
    }
    return items;
  }

  file() {
    while (this.place < this.tokens.length) {
      const word = this.next();
      if (word === "interface") {
        const name = this.next();
        this.list("{", "}", () => this.item(name));
      } else {
        this.skipBehind(";");
      }
    }
  }

  item(owner) {
    const word = this.next();
    if (word === "use") {
      this.skipBehind(";");
    } else if (word === "type") {
      const name = this.next();
      this.expect("=");
      this.types.set(name, this.type());
      this.expect(";");
    } else if (word === "record") {
      this.types.set(this.next(), { kind: "record", fields: this.list("{", "}", () => this.field()) });
    } else if (word === "variant") {
      this.types.set(this.next(), {
        kind: "variant",
        cases: new Map(this.list("{", "}", () => this.case())),
      });
    } else if (word === "enum") {
      this.types.set(this.next(), { kind: "enum", cases: this.list("{", "}", () => this.next()) });
    } else if (word === "resource") {
      const name = this.next();
      this.types.set(name, { kind: "resource" });
      this.list("{", "}", () => this.item(name));
    } else if (word === "constructor") {
      this.function(owner, word, false);
    } else {
      this.expect(":");
      const isStatic = this.accept("static");
      this.expect("func");
      this.function(owner, word, isStatic);
    }
  }

  function(owner, name, isStatic) {
    const parameters = this.list("(", ")", () => this.field()[1]);
    const result = this.accept("->") ? this.type() : undefined;
    this.expect(";");
    this.functions.set(`${owner}.${name}`, { parameters, result, isStatic });
  }

  field() {
    const name = this.next();
    this.expect(":");
    return [name, this.type()];
  }

  case() {
    const name = this.next();
    return [name, this.accept("(") ? this.closed(")") : undefined];
  }

  closed(token) {
    const type = this.type();
    this.expect(token);
    return type;
  }

  type() {
    const name = this.next();
    if (name === "list" || name === "option") {
      this.expect("<");
      return { kind: name, of: this.closed(">") };
    }
    if (name === "result") {
      this.expect("<");
      const ok = this.accept("_") ? undefined : this.type();
      this.expect(",");
      return { kind: "result", ok, err: this.closed(">") };
    }
    return PRIMITIVES.has(name) ? { kind: name } : { kind: "named", name };
  }
}
