// Entries: found by what their keys begin with, by a tag, by their state; page by page.

import { ask } from "./api.js";
import { byId, el, short, show, visible } from "./dom.js";
import { age, bytes, seconds } from "./format.js";

const PAGE = 12;

export class Entries {
  /** `open(key)` is called with the key that is chosen. */
  constructor({ open, cleared, failed }) {
    Object.assign(this, { open, cleared, failed, tag: null, cursors: [null], chosen: null, asked: 0, page: null });
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.begin();
    });
    byId("state").addEventListener("change", () => this.begin());
    let waiting;
    byId("prefix").addEventListener("input", () => {
      clearTimeout(waiting);
      // What is shown is of another search from now on, whose pages are not turned any more.
      this.asked += 1;
      if (this.page !== null) this.draw();
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

  begin() {
    this.cursors = [null];
    return this.load();
  }

  async load() {
    const asked = ++this.asked;
    const number = this.cursors.length;
    try {
      const page = await ask("entries", {
        prefix: byId("prefix").value, state: byId("state").value, tag: this.tag, cursor: this.cursors.at(-1), limit: PAGE,
      });
      // What was asked for later may be answered earlier.
      if (asked === this.asked) {
        this.page = { ...page, asked, number };
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
    const { entries, cursor, asked, number } = this.page;
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
    const isShown = asked === this.asked;
    const move = (name, text, isThere, change) => el("button", { type: "button", disabled: !(isThere && isShown), "data-focus": name, onclick: () => {
      // A second click, before the first was answered, turns nothing.
      if (asked !== this.asked) return;
      change();
      this.load();
    } }, text);
    show(byId("pager"),
      move("previous", "‹ Previous", number > 1, () => this.cursors.pop()),
      el("span", { class: "muted" }, `page ${number}`),
      move("next", "Next ›", cursor !== null, () => this.cursors.push(cursor)));
  }
}

function left({ expires }, now) {
  if (expires === null) return "never";
  const still = (Date.parse(expires) - now) / 1000;
  return still > 0 ? seconds(still) : "–";
}

export const stateBadge = (state) => el("span", { class: `badge ${state}` }, state);
