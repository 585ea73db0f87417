// What an entry depends on: the hierarchy of its tags from the left, the entry at the right.
// An invalidation goes that way: what made the entry stale, and the way it took, is drawn in red.

import { el, short, svg, visible } from "./dom.js";

const ROW = 38;
const BOX = 26;
const GAP = 28;
const LETTER = 6.9;
const LONGEST = 18;
/** Dependencies that are drawn. */
const MOST = 40;

/** Draws the graph of an explanation; `open(tag)` is called with a tag that is chosen. */
export function graph({ key, state, dependencies, cause }, open) {
  const shown = dependencies.slice(0, MOST);
  const { nodes, roots } = hierarchy(shown, cause);
  const leaves = placeRows(roots);
  const depth = Math.max(0, ...nodes.map((node) => node.depth));
  // What stands alone, such as the tag of a function, has a row of its own, and stands beside the entry.
  const alone = roots.filter((node) => !node.below.length);
  const others = nodes.filter((node) => !alone.includes(node));
  const widths = Array.from({ length: depth + 1 }, (_, column) => Math.max(0, ...others.filter((node) => node.depth === column).map(boxWidth)));
  const lefts = widths.map((_, column) => 2 + widths.slice(0, column).reduce((sum, width) => sum + width + GAP, 0));
  // The whole key stands above the graph.
  const entry = { label: `${state} entry`, row: Math.max(0, (leaves - 1) / 2) };
  const entryLeft = nodes.length ? GAP + Math.max(lefts.at(-1) + widths.at(-1), ...alone.map((node) => 2 + boxWidth(node))) : 2;
  const left = (node) => (alone.includes(node) ? entryLeft - GAP - boxWidth(node) : lefts[node.depth]);
  const width = entryLeft + boxWidth(entry) + 4;
  const height = Math.max(1, leaves) * ROW + 4;

  const middle = (node) => node.row * ROW + ROW / 2 + 2;
  const right = (node) => left(node) + boxWidth(node);
  const edge = (from, x, y, isCause) => svg("path", {
    class: isCause ? "edge cause" : "edge",
    d: `M${right(from)},${middle(from)}C${right(from) + GAP * 0.6},${middle(from)} ${x - GAP * 0.6},${y} ${x},${y}`,
  });
  const edges = nodes.flatMap((node) => [
    ...node.below.map((child) => edge(node, left(child), middle(child), node.isCause && child.isCause)),
    ...(node.dependency ? [edge(node, entryLeft, middle(entry), node.isCause && node.dependency.stale)] : []),
  ]);
  // Those in red lie above the others.
  edges.sort((a, b) => a.classList.contains("cause") - b.classList.contains("cause"));
  const boxes = nodes.map((node) => box(node, left(node), middle(node), kindOf(node), node.told, () => open(node.tag)));
  boxes.push(box(entry, entryLeft, middle(entry), `entry ${state}`, `${visible(key)}: ${state}`, null));
  return el("div", { class: "graph", tabindex: 0, role: "region", "aria-label": "What the entry depends on" },
    svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": summary(key, state, cause) }, ...edges, ...boxes),
    dependencies.length > MOST ? el("p", { class: "muted" }, `and ${dependencies.length - MOST} more tags`) : null,
    dependencies.length ? null : el("p", { class: "muted" }, "It depends on no tag."));
}

const summary = (key, state, cause) => `${visible(key)} is ${state}` + (cause ? `, because ${visible(cause.tag)} was invalidated` : "");
const boxWidth = ({ label }) => Math.max(34, [...label].length * LETTER + 18);
const kindOf = (node) => `${node.isOrigin ? "origin" : node.isCause ? "on-the-way" : node.dependency ? "tag" : "above"}`;

/** The tags, and what is above them, as trees. */
function hierarchy(dependencies, cause) {
  const nodes = new Map();
  const roots = [];
  const make = (parts) => {
    const tag = parts.join(":");
    if (nodes.has(tag)) return nodes.get(tag);
    const node = { tag, label: short(parts.at(-1), LONGEST), depth: parts.length - 1, below: [], dependency: null, isCause: false, isOrigin: false, told: visible(tag) };
    nodes.set(tag, node);
    if (parts.length > 1) make(parts.slice(0, -1)).below.push(node);
    else roots.push(node);
    return node;
  };
  const plain = (tag) => tag.replace(/:\*$/, "");
  for (const dependency of dependencies) {
    const node = make(plain(dependency.tag).split(":"));
    const isSubtree = dependency.tag.endsWith(":*");
    node.dependency = node.dependency?.stale ? node.dependency : dependency;
    if (isSubtree) node.label = short(node.label + ":*", LONGEST + 2);
    node.told = `${visible(dependency.tag)}: a tag of the entry${dependency.stale ? ", invalidated since" : ""}`;
  }
  if (cause) markCause(nodes, roots, plain(cause.tag), make);
  return { nodes: [...nodes.values()], roots };
}

/** Marks what was invalidated, and everything between it and the entry. */
function markCause(nodes, roots, tag, make) {
  if (tag === "*" || tag === "") {
    // Everything was: all tags are on the way.
    for (const node of nodes.values()) node.isCause = true;
    for (const root of roots) root.isOrigin = true;
    return;
  }
  const origin = make(tag.split(":"));
  origin.isOrigin = true;
  origin.isCause = true;
  origin.told = `${visible(tag)}: this was invalidated`;
  const down = (node) => {
    // Only towards what the entry depends on.
    const ways = node.below.filter(down);
    const isWay = ways.length > 0 || Boolean(node.dependency?.stale);
    if (isWay) node.isCause = true;
    return isWay;
  };
  if (down(origin)) return;
  // The entry depends on everything below a tag that is above: mark that way.
  const parts = tag.split(":");
  for (let length = parts.length - 1; length > 0; length -= 1) {
    const node = nodes.get(parts.slice(0, length).join(":"));
    if (!node) continue;
    node.isCause = true;
    if (node.dependency?.stale) return;
  }
}

/** Gives each leaf a row of its own, and each other node the middle of what is below it; returns the rows. */
function placeRows(roots) {
  let next = 0;
  const place = (node) => {
    if (!node.below.length) {
      node.row = next;
      next += 1;
      return;
    }
    node.below.forEach(place);
    // One that the entry depends on itself gets room for the line to it.
    if (node.dependency) {
      node.row = next;
      next += 1;
    } else {
      node.row = (node.below[0].row + node.below.at(-1).row) / 2;
    }
  };
  roots.forEach(place);
  return next;
}

function box(node, left, y, kind, told, open) {
  const choose = open === null ? {} : {
    tabindex: 0,
    role: "button",
    onclick: open,
    onkeydown: (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        open();
      }
    },
  };
  return svg("g", { class: `node ${kind}`, "aria-label": told, "data-node": node.tag ?? "", "data-focus": `node ${node.tag ?? ""}`, ...choose },
    svg("title", {}, told),
    svg("rect", { x: left, y: y - BOX / 2, width: boxWidth(node), height: BOX, rx: 6 }),
    svg("text", { x: left + boxWidth(node) / 2, y: y + 4, "text-anchor": "middle" }, node.label));
}
