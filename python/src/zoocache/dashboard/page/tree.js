// The hierarchy of tags: blocks as large as there are entries, coloured by what was invalidated how lately. They
// stand in rows, what is below a tag below it; a level of many tags fills all rows.

import { ask } from "./api.js";
import { el, short, show, svg, visible } from "./dom.js";
import { age, ago, count } from "./format.js";
import { treemap } from "./treemap.js";

const ROW = 64;
const ROWS = 3;
/** Tags that stand in one row at most, when they are looked at. */
const MANY = 24;
/** Blocks narrower than this are drawn as one. */
const NARROWEST = 5;
/** Blocks that are to be clicked at are at least so broad. */
const CHOOSABLE = 20;
/** How broad a letter is, about, in pixels; in bold type letters are broader. */
const LETTER = 6.6;
const BOLD = 7.9;
/** Milliseconds between two questions for the same level, and how many times as long as it takes. */
const PAUSE = 4_000;
const REST = 40;
/** Levels that are asked for without being clicked at: so many, as long as that is cheap, in seconds. */
const AHEAD = 24;
const CHEAP = 0.1;
/** Levels that are kept, whatever was looked at. */
const MOST_LEVELS = 200;

/** How long ago, at most, something was invalidated, by the colour it has. */
const HEATS = [[10, "10 s"], [60, "1 min"], [600, "10 min"], [3_600, "1 h"], [Infinity, "earlier"]];

const heat = (text) => {
  const passed = age(text);
  return passed === null ? "never" : HEATS.findIndex(([end]) => passed <= end);
};

const latest = (a, b) => (a !== null && (b === null || a > b) ? a : b);
const hot = (branch) => latest(branch.invalidated, branch.invalidated_below);
const lastPart = (tag) => tag.slice(tag.lastIndexOf(":") + 1);

/** How many letters all of some names begin with, if it is worth leaving them out. */
function sharedStart(names) {
  let length = names.length > 1 ? names[0].length - 1 : 0;
  for (const name of names) while (!name.startsWith(names[0].slice(0, length)) || name.length <= length) length -= 1;
  return length >= 3 ? length : 0;
}

const sorted = (branches) => [...branches].sort((a, b) => b.entries - a.entries || (a.tag < b.tag ? -1 : 1));
const weight = ({ entries }) => Math.max(entries, 0.25);
const parentOf = (tag) => (tag.includes(":") ? tag.slice(0, tag.lastIndexOf(":")) : null);

export class Tree {
  /** `select(branch)` is called with what is selected, `failed(error)` when it cannot be asked for. */
  constructor({ parent, crumbs, legend, select, failed }) {
    Object.assign(this, { parent, crumbs, select, failed });
    /** The levels that are known, by the tag above them; `""` is above the first one. */
    this.levels = new Map();
    this.focus = null;
    this.selected = null;
    this.asking = false;
    this.due = 0;
    this.trouble = null;
    show(legend, el("span", {}, "invalidated"), ...HEATS.map(([, name], place) => swatch(place, place < 4 ? `< ${name}` : name)), swatch("never", "never"));
    new ResizeObserver(() => this.draw()).observe(parent);
    this.refresh();
  }

  /** Asks for what may have changed, as often as is cheap; called every second. */
  async refresh() {
    if (this.asking || document.hidden || Date.now() < this.due) return;
    this.asking = true;
    try {
      for (const tag of this.wanted()) {
        const known = this.levels.get(tag);
        if (known && Date.now() < known.due) continue;
        const took = await this.load(tag);
        if (took > CHEAP) break;
      }
      this.trouble = null;
      this.leaveOut();
    } catch (error) {
      // Nobody has asked for this: what is known stays, and the banner says what is wrong.
      this.trouble = error.message;
      this.due = Date.now() + PAUSE;
    } finally {
      this.asking = false;
      this.draw();
    }
  }

  async load(tag) {
    const level = await ask("tree", { tag });
    level.due = Date.now() + Math.max(PAUSE, REST * level.took * 1000);
    this.levels.set(tag, level);
    return level.took;
  }

  /** The levels that are shown: that of the focus, then those of the largest below it, as far as that is cheap. */
  wanted() {
    const top = this.focus ?? "";
    const wanted = [top];
    if ((this.levels.get(top)?.took ?? 0) > CHEAP) return wanted;
    for (let depth = 1, above = [top]; depth < ROWS; depth += 1) {
      const below = above.flatMap((tag) => this.levels.get(tag)?.branches ?? []).filter(({ entries }) => entries > 0);
      above = below.sort((a, b) => b.entries - a.entries).slice(0, AHEAD).map(({ tag }) => tag);
      wanted.push(...above);
    }
    return wanted;
  }

  /** Forgets levels that are not shown, if there are many: a page may be open for days. */
  leaveOut() {
    if (this.levels.size <= MOST_LEVELS) return;
    const kept = new Set([...this.wanted(), this.selected, parentOf(this.selected ?? "") ?? ""]);
    for (const tag of [...this.levels.keys()]) if (!kept.has(tag)) this.levels.delete(tag);
  }

  /** Colours what was invalidated at once, before it is asked for. */
  note(invalidations) {
    for (const { tags, at } of invalidations) {
      for (const told of tags) {
        const tag = told.replace(/:\*$/, "");
        for (const { branches } of this.levels.values()) {
          for (const branch of branches) {
            if (branch.tag === tag) branch.invalidated = latest(at, branch.invalidated);
            else if (tag.startsWith(branch.tag + ":")) branch.invalidated_below = latest(at, branch.invalidated_below);
          }
        }
      }
    }
  }

  /** Zooms to a tag and selects it; one that has nothing below it is shown within what is above it. */
  async open(tag) {
    this.selected = tag;
    this.select(tag, this.find(tag));
    try {
      if (tag !== null && !this.levels.has(tag)) await this.load(tag);
      const isLeaf = tag !== null && !this.levels.get(tag)?.branches.length;
      if (this.selected !== tag) return;
      this.focus = isLeaf ? parentOf(tag) : tag;
      if (!this.levels.has(this.focus ?? "")) await this.load(this.focus ?? "");
    } catch (error) {
      this.failed(error);
    }
    this.select(tag, this.find(tag));
    this.draw();
    this.refresh();
  }

  /** What is known about a tag. */
  find(tag) {
    if (tag === null) return null;
    const level = this.levels.get(parentOf(tag) ?? "");
    return level?.branches.find((branch) => branch.tag === tag) ?? null;
  }

  /** Forgets what was asked for: something has changed it. */
  forget() {
    for (const level of this.levels.values()) level.due = 0;
    this.refresh();
  }

  draw() {
    this.drawCrumbs();
    const level = this.levels.get(this.focus ?? "");
    if (!level) {
      show(this.parent, el("p", { class: "nothing" }, this.trouble === null ? "Asking for the tags…" : visible(this.trouble)));
      return;
    }
    if (!level.branches.length) {
      show(this.parent, el("p", { class: "nothing" }, this.focus === null ? "No entry depends on any tag." : "There is nothing below this tag."));
      return;
    }
    const width = Math.max(240, this.parent.clientWidth);
    const blocks = [];
    const isCrowded = level.branches.length > MANY;
    const rows = isCrowded ? ROWS : this.place(level.branches, 0, width, 0, blocks);
    if (isCrowded) this.fill(level.branches, width, blocks);
    const height = rows * ROW;
    show(this.parent, svg("svg", {
      class: "icicle", viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": "Tags; choose one to go into it",
    }, ...blocks), level.left_out ? el("p", { class: "muted" }, `and ${count(level.left_out)} more tags with fewer entries`) : null);
  }

  /** Puts the blocks of one level into all rows. */
  fill(branches, width, blocks) {
    const listed = sorted(branches);
    const shared = sharedStart(listed.map(({ tag }) => lastPart(tag)));
    const total = listed.reduce((sum, branch) => sum + weight(branch), 0);
    const least = total / listed.length / 8;
    const places = treemap(listed.map((branch) => Math.max(weight(branch), least)), 0, 0, width, ROWS * ROW);
    for (const [place, branch] of listed.entries()) blocks.push(this.block(branch, places[place], shared));
  }

  /** Puts the blocks of a level, and what is below them, into a row; returns how many rows they take. */
  place(branches, left, width, row, blocks) {
    const listed = sorted(branches);
    const shared = sharedStart(listed.map(({ tag }) => lastPart(tag)));
    // Of the level that is looked at each tag can be chosen, however few entries it has.
    const total = listed.reduce((sum, branch) => sum + weight(branch), 0);
    const least = row === 0 ? (total * Math.min(CHOOSABLE, width / listed.length / 2)) / width : 0;
    const weights = listed.map((branch) => Math.max(weight(branch), least));
    const scale = width / weights.reduce((sum, one) => sum + one, 0);
    let at = left;
    let rows = row + 1;
    for (const [place, branch] of listed.entries()) {
      const broad = weights[place] * scale;
      if (broad < NARROWEST && listed.length - place > 1) {
        blocks.push(this.rest(listed.slice(place), at, left + width - at, row));
        break;
      }
      blocks.push(this.block(branch, { left: at, top: row * ROW, width: broad, height: ROW }, shared));
      const below = this.levels.get(branch.tag)?.branches.filter(({ entries }) => entries > 0);
      if (below?.length && row + 1 < ROWS && broad >= 2 * NARROWEST) rows = Math.max(rows, this.place(below, at, broad, row + 1, blocks));
      at += broad;
    }
    return rows;
  }

  block(branch, { left, top, width, height }, shared) {
    const name = lastPart(branch.tag);
    const stale = branch.entries - branch.fresh;
    const told = `${visible(branch.tag)}: ${count(branch.entries)} entries, ${count(branch.fresh)} fresh; invalidated ${ago(branch.invalidated)}, something below it ${ago(branch.invalidated_below)}`;
    const fits = Math.floor((width - 14) / LETTER);
    const boldFits = Math.floor((width - 14) / BOLD);
    // What all beside it begin with tells nothing.
    const label = name.length > boldFits && shared ? "…" + name.slice(shared) : name;
    const open = () => this.open(branch.tag);
    return svg("g", {
      class: `block heat-${heat(hot(branch))}${branch.tag === this.selected ? " selected" : ""}`,
      tabindex: 0,
      role: "button",
      "aria-label": told,
      "data-focus": branch.tag,
      "data-tag": branch.tag,
      onclick: open,
      onkeydown: (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          open();
        }
      },
    },
    svg("title", {}, told),
    svg("rect", { x: left + 1, y: top + 1, width: Math.max(1, width - 2), height: Math.max(1, height - 2), rx: Math.min(4, height / 6) }),
    stale > 0 && branch.entries > 0
      ? svg("rect", { class: "stale-part", x: left + 1, y: top + height - 5, width: Math.max(1, (width - 2) * (stale / branch.entries)), height: 4 })
      : null,
    boldFits >= Math.min(3, label.length) && height >= 24
      ? svg("text", { class: "name", x: left + 8, y: top + Math.min(27, height / 2 + 5) }, short(label, boldFits))
      : null,
    fits >= Math.max(2, count(branch.entries).length) && height >= 52
      ? svg("text", { class: "amount", x: left + 8, y: top + 45 }, short(count(branch.entries) + (fits >= 13 ? " entries" : ""), fits))
      : null);
  }

  rest(branches, left, width, row) {
    const entries = branches.reduce((sum, branch) => sum + branch.entries, 0);
    const told = `${branches.length} more tags with ${count(entries)} entries`;
    const fits = Math.floor((width - 14) / LETTER);
    return svg("g", { class: `block rest heat-${heat(branches.map(hot).reduce(latest, null))}` },
      svg("title", {}, told),
      svg("rect", { x: left + 1, y: row * ROW + 1, width: Math.max(1, width - 2), height: ROW - 2, rx: 4 }),
      fits >= 4 ? svg("text", { class: "amount", x: left + 8, y: row * ROW + 36 }, short(fits >= 18 ? told : `+${branches.length}`, fits)) : null);
  }

  drawCrumbs() {
    const parts = (this.focus ?? "").split(":");
    const tags = this.focus === null ? [] : parts.map((_, place) => parts.slice(0, place + 1).join(":"));
    const crumb = (tag, text) => el("button", {
      type: "button", class: "crumb", "data-focus": tag ?? "", "aria-current": tag === this.focus ? "location" : null, onclick: () => this.open(tag),
    }, text);
    show(this.crumbs, crumb(null, "all"), ...tags.map((tag) => crumb(tag, short(lastPart(tag), 24))));
  }
}

const swatch = (name, text) => el("span", { class: "swatch" }, svg("svg", { width: 12, height: 12, "aria-hidden": true, class: `heat-${name}` }, svg("rect", { width: 12, height: 12, rx: 3 })), text);

/** Tells about the tag that is selected. */
export function showTag(parent, tag, branch, invalidate) {
  if (tag === null) {
    show(parent);
    return;
  }
  const facts = branch && [
    `${count(branch.entries)} entries, ${count(branch.fresh)} fresh`,
    branch.invalidated ? `invalidated ${ago(branch.invalidated)}` : "never invalidated itself",
    branch.invalidated_below ? `something below it ${ago(branch.invalidated_below)}` : null,
    branch.changing ? "a change of it is announced" : null,
  ].filter(Boolean).join(" · ");
  show(parent, el("div", { class: "tag-line" },
    el("code", {}, visible(tag)),
    el("span", { class: "muted" }, facts ?? "nothing is known of this tag any more"),
    invalidate && el("button", { type: "button", class: "danger", "data-focus": "invalidate", onclick: () => invalidate(tag) }, "Invalidate…")));
}
