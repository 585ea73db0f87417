// Between values as the vectors write them (JSON) and as jco takes and gives them, by their WIT types.
//
//   WIT             JSON                                  jco
//   u64             number, or decimal text above 2^53-1  BigInt
//   list<u8>        hexadecimal text                      Uint8Array
//   record          object with-these-names               object withTheseNames
//   variant         "case" or {"case": payload}           {tag, val}
//   result inside   {"ok": ...} or {"err": ...}           {tag, val}
//   option          the value or null                     the value or undefined
//   resource        "@name"                               object of a class

export function camelCase(name) {
  return name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
}

// Of the types that `readWit` read. `resource` finds the object of a "@name", and `nameOf` names an object.
export class Conversion {
  constructor(types, { resource, nameOf }) {
    Object.assign(this, { types, resource, nameOf });
  }

  resolve(type) {
    return type.kind === "named" ? this.resolve(this.types.get(type.name)) : type;
  }

  toJco(named, json) {
    const type = this.resolve(named);
    switch (type.kind) {
      case "u64":
        return BigInt(json);
      case "list":
        return isByte(type.of) ? bytesOf(json) : json.map((item) => this.toJco(type.of, item));
      case "option":
        return json === null ? undefined : this.toJco(type.of, json);
      case "record":
        return this.recordToJco(type, json);
      case "variant":
        return this.caseToJco(type.cases, json);
      case "resource":
        return this.resource(json);
      default:
        return json;
    }
  }

  recordToJco({ fields }, json) {
    const unknown = Object.keys(json).filter((name) => !fields.some(([known]) => known === name));
    if (unknown.length > 0) {
      throw new Error(`the vector names unknown fields: ${unknown}`);
    }
    return Object.fromEntries(fields.map(([name, type]) => [camelCase(name), this.toJco(type, json[name])]));
  }

  caseToJco(cases, json) {
    const [tag, payload] = typeof json === "string" ? [json] : Object.entries(json)[0];
    const type = cases.get(tag);
    return type ? { tag, val: this.toJco(type, payload) } : { tag };
  }

  toJson(named, value) {
    const type = this.resolve(named);
    switch (type.kind) {
      case "u64":
        return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
      case "list":
        return isByte(type.of) ? hexOf(value) : value.map((item) => this.toJson(type.of, item));
      case "option":
        return value === undefined ? null : this.toJson(type.of, value);
      case "record":
        return Object.fromEntries(
          type.fields.map(([name, of]) => [name, this.toJson(of, value[camelCase(name)])]),
        );
      case "variant":
        return this.caseToJson(value.tag, type.cases.get(value.tag), value.val);
      case "result":
        return this.caseToJson(value.tag, type[value.tag], value.val);
      case "resource":
        return this.nameOf(value);
      default:
        return value;
    }
  }

  caseToJson(tag, type, payload) {
    return type ? { [tag]: this.toJson(type, payload) } : tag;
  }
}

function isByte(type) {
  return type.kind === "u8";
}

function bytesOf(hex) {
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

function hexOf(bytes) {
  return Buffer.from(bytes).toString("hex");
}
