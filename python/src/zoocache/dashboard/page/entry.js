// One entry: what it depends on, as a graph; what made it stale; its value.

import { ask } from "./api.js";
import { byId, el, show, visible } from "./dom.js";
import { stateBadge } from "./entries.js";
import { ago, bytes, seconds, timeOfDay } from "./format.js";
import { graph } from "./graph.js";

export class EntryView {
  /** `openTag(tag)` is called with a tag of the graph that is chosen. */
  constructor({ openTag }) {
    Object.assign(this, { openTag, key: null, shown: null, told: null, asking: false });
    this.draw(null);
  }

  open(key) {
    this.key = key;
    this.told = null;
    return this.refresh();
  }

  /** Asks again; called every few seconds, as an entry may become stale at any time. */
  async refresh() {
    const { key } = this;
    if (key === null || this.asking || document.hidden) return;
    this.asking = true;
    try {
      const told = await ask("entry", { key });
      if (key !== this.key) return;
      const isAbsent = told.explanation.state === "absent";
      if (!isAbsent) this.told = told;
      this.draw(isAbsent ? "There is no such entry now" : null);
    } catch (error) {
      if (key === this.key) this.draw(error.message);
    } finally {
      this.asking = false;
      if (key !== this.key) this.refresh();
    }
  }

  /** Asks again at once if something was invalidated that the entry depends on. */
  note(invalidations) {
    const plain = (tag) => tag.replace(/:\*$/, "");
    const isBelow = (tag, above) => tag === above || tag.startsWith(above + ":");
    const tags = (this.told?.explanation.dependencies ?? []).map(({ tag }) => plain(tag));
    const told = invalidations.flatMap((one) => one.tags.map(plain));
    if (told.some((one) => one === "*" || tags.some((tag) => isBelow(tag, one) || isBelow(one, tag)))) this.refresh();
  }

  draw(trouble) {
    const parent = byId("entry");
    if (!this.told) {
      show(parent, el("p", { class: "nothing" }, trouble === null ? "Choose an entry to see what it depends on." : visible(trouble)));
      return;
    }
    // A text that somebody selects, to copy it, stays.
    const selection = getSelection();
    if (selection.type === "Range" && parent.contains(selection.anchorNode) && this.shown === this.key) return;
    this.shown = this.key;
    const { explanation } = this.told;
    const old = parent.querySelector("pre");
    const place = [parent.querySelector(".graph")?.scrollLeft ?? 0, old?.scrollTop ?? 0];
    show(parent,
      trouble === null ? null : el("p", { class: "note" }, `${visible(trouble)}; this is what was known before.`),
      el("p", { class: "entry-key" }, el("code", {}, visible(explanation.key)), stateBadge(explanation.state)),
      cause(explanation),
      el("p", { class: "muted" }, facts(explanation, this.told)),
      graph(explanation, this.openTag),
      el("h3", {}, "Value"),
      this.value());
    parent.querySelector(".graph").scrollLeft = place[0];
    if (old) parent.querySelector("pre")?.scrollTo(0, place[1]);
  }

  value() {
    const { value, value_trouble: trouble, cut } = this.told;
    if (trouble !== null) return el("p", { class: "note" }, visible(trouble));
    return el("pre", { tabindex: 0, "aria-label": "Value" }, value.split("\n").map(visible).join("\n") + (cut ? "\n… (there is more)" : ""));
  }
}

function cause({ cause: found }) {
  if (!found) return null;
  return el("p", { class: "cause" },
    el("strong", {}, visible(found.tag)), ` was invalidated ${ago(found.at)}, at ${timeOfDay(Date.parse(found.at))}, by `, el("code", {}, visible(found.node)));
}

function facts({ age, expires_in: expires }, { bytes: size }) {
  const parts = [`stored ${seconds(age)} ago`, expires === null ? "never expires" : `expires in ${seconds(expires)}`];
  if (size !== null) parts.push(bytes(size));
  return parts.join(" · ");
}
