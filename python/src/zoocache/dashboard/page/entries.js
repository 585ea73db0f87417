// Entries: found by what their keys begin with, by a tag, by their state; page by page.

import { ask } from "./api.js";
import { byId, el, short, show, visible } from "./dom.js";
import { age, bytes, seconds } from "./format.js";

const PAGE = 12;

export class Entries {
  /** `open(key)` is called with the key that is chosen. */
  constructor({ open, cleared, failed }) {
    Object.assign(this, { open, cleared, failed, tag: null, cursors: [null], chosen: null, asked: 0, page: null, hasLeft: false });
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.begin();
    });
    byId("state").addEventListener("change", () => this.begin());
    let waiting;
    byId("prefix").addEventListener("input", () => {
      clearTimeout(waiting);
      this.leave();
      waiting = setTimeout(() => this.begin(), 250);
    });
    this.begin();
  }

  /** Shows only what depends on a tag, or on what is below it. */
  ofTag(tag) {
    this.tag = tag;
    show(byId("tag-filter"), tag === null ? null : el("button", { type: "button", class: "chip", title: "Show those of all tags", onclick: () => this.cleared() },
      "of ", el("code", {}, short(tag, 34)), " ×"));
    this.begin();
  }

  /** What is shown is of another search from now on: its pages are not turned any more. */
  leave() {
    this.asked += 1;
    Object.assign(this, { cursors: [null], hasLeft: true });
    if (this.page !== null) this.draw();
  }

  begin() {
    this.leave();
    return this.load();
  }

  /** Shows the page at the last of the cursors that lead to it. */
  async load(cursors = this.cursors) {
    const asked = ++this.asked;
    try {
      const page = await ask("entries", {
        prefix: byId("prefix").value, state: byId("state").value, tag: this.tag, cursor: cursors.at(-1), limit: PAGE,
      });
      // What was asked for later may be answered earlier.
      if (asked === this.asked) {
        Object.assign(this, { page, cursors, hasLeft: false });
        this.draw();
      }
    } catch (error) {
      this.failed(error);
    }
  }

  choose(key) {
    this.chosen = key;
    this.draw();
    this.open(key);
  }

  draw() {
    const { entries, cursor } = this.page;
    const heads = [["Key"], ["State"], ["Size", "number"], ["Age", "number"], ["Expires in", "number"]];
    const rows = entries.map((entry) => el("tr", { class: entry.key === this.chosen && "chosen" },
      el("td", { class: "text" }, el("button", {
        type: "button", class: "link key", title: visible(entry.key), "data-focus": entry.key, "data-key": entry.key, onclick: () => this.choose(entry.key),
      }, visible(entry.key))),
      el("td", {}, stateBadge(entry.state)),
      el("td", { class: "number" }, bytes(entry.bytes)),
      el("td", { class: "number" }, seconds(age(entry.created))),
      el("td", { class: "number" }, left(entry, Date.parse(this.page.now)))));
    show(byId("entries"), entries.length
      ? el("table", { "aria-label": "Entries" }, el("thead", {}, el("tr", {}, ...heads.map(([text, kind]) => el("th", { scope: "col", class: kind }, text)))), el("tbody", {}, ...rows))
      : el("p", { class: "nothing" }, cursor ? "None on this page; there may be some on the next." : "There are no such entries."));
    const move = (name, text, cursors) => el("button", {
      type: "button", disabled: this.hasLeft || cursors === null, "data-focus": name, onclick: () => this.load(cursors),
    }, text);
    show(byId("pager"),
      move("previous", "‹ Previous", this.cursors.length > 1 ? this.cursors.slice(0, -1) : null),
      el("span", { class: "muted" }, `page ${this.cursors.length}`),
      move("next", "Next ›", cursor === null ? null : [...this.cursors, cursor]));
  }
}

function left({ expires }, now) {
  if (expires === null) return "never";
  const still = (Date.parse(expires) - now) / 1000;
  return still > 0 ? seconds(still) : "–";
}

export const stateBadge = (state) => el("span", { class: `badge ${state}` }, state);
