// Puts the parts of the page together.

import { Actions, toast } from "./actions.js";
import { makeCharts } from "./charts.js";
import { byId, el, show, visible } from "./dom.js";
import { Entries } from "./entries.js";
import { EntryView } from "./entry.js";
import { bytes, count } from "./format.js";
import { functionTable, nodeTable, showLog } from "./lists.js";
import { known, listen, report } from "./live.js";
import { showTag, Tree } from "./tree.js";

const KINDS = { memory: "Memory", lmdb: "LMDB", redis: "Redis" };

const failed = (error) => toast(error.message);

const drawCharts = makeCharts(byId("charts"), () => known.samples);
const functions = functionTable(byId("functions"));
const nodes = nodeTable(byId("nodes"));

const actions = new Actions(() => {
  tree.forget();
  entries.load();
  entry.refresh();
});
/** Shows a tag in the tree; what was invalidated may also be everything, or everything below a tag. */
const openTag = (tag) => tree.open(tag === "*" ? null : tag.replace(/:\*$/, ""));
const entry = new EntryView({ openTag });
const entries = new Entries({ open: (key) => entry.open(key), cleared: () => tree.open(null), failed });
let shownTag = null;
const tree = new Tree({
  parent: byId("tree"),
  crumbs: byId("crumbs"),
  legend: byId("legend"),
  failed,
  select: (tag) => {
    drawTag();
    if (tag !== shownTag) entries.ofTag(tag);
    shownTag = tag;
  },
});

function drawTag() {
  const { selected } = tree;
  showTag(byId("tag-details"), selected, tree.find(selected), actions.isPossible ? (tag) => actions.invalidate(tag) : null);
}

function drawPlace() {
  const { stats } = known;
  if (!stats) return;
  const facts = [`${count(stats.entries)} entries`, `${count(stats.tags)} tags`];
  if (stats.bytes !== null) facts.push(bytes(stats.bytes));
  show(byId("place"), el("strong", {}, KINDS[stats.kind]), " ", el("code", { title: stats.place }, visible(stats.place)), " ", el("span", {}, facts.join(" · ")));
}

listen((news) => {
  if (document.hidden) return;
  tree.note(news);
  entry.note(news);
  drawCharts();
  drawPlace();
  functions.update(known.functions);
  nodes.update(known.nodes);
  showLog(byId("log"), known.invalidations, openTag);
});

setInterval(() => {
  report();
  if (document.hidden) return;
  tree.draw();
  tree.refresh();
  drawTag();
}, 1_000);
setInterval(() => entry.refresh(), 2_000);

/** Asks what may be done, until it is answered. */
function begin() {
  actions.begin().then(drawTag, () => setTimeout(begin, 3_000));
}
begin();
