// Functions, processes and past invalidations, as tables.

import { el, show, visible } from "./dom.js";
import { ago, count, percent, rate, seconds } from "./format.js";

/** A table whose columns sort it. */
export class SortedTable {
  /** Columns are `[name, head, format, isNumber]`; rows show `nothing` if there are none. */
  constructor(parent, label, columns, nothing, by) {
    Object.assign(this, { parent, label, columns, nothing, by, falling: true, rows: [] });
  }

  update(rows) {
    this.rows = rows;
    this.draw();
  }

  sort(name) {
    const isText = !this.columns.find(([column]) => column === name)[3];
    this.falling = this.by === name ? !this.falling : !isText;
    this.by = name;
    this.draw();
  }

  draw() {
    if (!this.rows.length) {
      show(this.parent, el("p", { class: "nothing" }, this.nothing));
      return;
    }
    const rows = [...this.rows].sort((a, b) => compare(a[this.by], b[this.by]) * (this.falling ? -1 : 1));
    const heads = this.columns.map(([name, head, , isNumber]) => {
      const order = name === this.by ? (this.falling ? "descending" : "ascending") : "none";
      const mark = { descending: " ↓", ascending: " ↑", none: "" }[order];
      return el("th", { scope: "col", "aria-sort": order, class: isNumber && "number" },
        el("button", { type: "button", class: "sort", "data-focus": name, onclick: () => this.sort(name) }, head + mark));
    });
    const body = rows.map((row) => el("tr", {}, ...this.columns.map(([name, , format, isNumber]) => {
      const text = visible(format(row[name], row));
      return el("td", isNumber ? { class: "number" } : { class: "text", title: text }, text);
    })));
    show(this.parent, el("table", { "aria-label": this.label }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...body)));
  }
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  return a < b ? -1 : 1;
}

export const functionTable = (parent) => new SortedTable(parent, "Functions", [
  ["name", "Function", (value) => value, false],
  ["calls", "Calls/s", rate, true],
  ["hit_ratio", "Hit ratio", percent, true],
  ["mean", "Computes in", seconds, true],
  ["hits", "Hits", count, true],
  ["misses", "Misses", count, true],
  ["errors", "Errors", count, true],
], "No process tells what its functions do. Those with configure(control=True) do.", "calls");

export const nodeTable = (parent) => new SortedTable(parent, "Processes", [
  ["name", "Process", (value, row) => value + (row.is_self ? " (this page)" : ""), false],
  ["behind", "Behind", (value) => (value === null ? "asks" : seconds(value)), true],
  ["age", "Age", seconds, true],
], "Nobody uses the cache now.", "age");

/** Shows the latest invalidations; a tag leads to its place in the tree. */
export function showLog(parent, invalidations, open) {
  if (!invalidations.length) {
    show(parent, el("p", { class: "nothing" }, "Nothing was invalidated, as far as is known."));
    return;
  }
  const items = invalidations.slice(0, 60).map(({ position, at, tags, node }) => el("li", {},
    el("span", { class: "when" }, ago(at)),
    el("span", { class: "tags" },
      ...tags.slice(0, 5).map((tag) => el("button", { type: "button", class: "link", "data-focus": `${position} ${tag}`, onclick: () => open(tag) }, visible(tag))),
      tags.length > 5 ? el("span", { class: "more" }, `and ${tags.length - 5} more`) : null),
    node === null ? null : el("span", { class: "who" }, visible(node))));
  show(parent, el("ol", { class: "log" }, ...items));
}
