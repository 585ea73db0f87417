// Elements from data. Texts are only ever set as texts, so no data becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element; attributes whose names begin with `on` are listeners. */
export const el = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);

/** An SVG element. */
export const svg = (name, attributes = {}, ...children) => filled(document.createElementNS(SVG, name), attributes, children);

export const byId = (id) => document.getElementById(id);

/** Replaces what an element contains, and leaves the focus where it was, on what has the same `data-focus`. */
export function show(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  parent.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
  if (focused !== undefined) {
    [...parent.querySelectorAll("[data-focus]")].find((child) => child.dataset.focus === focused)?.focus({ preventScroll: true });
  }
}

/** A text without its middle, if it is too long. */
export function short(text, most) {
  const letters = [...visible(text)];
  if (letters.length <= most) return letters.join("");
  const head = Math.ceil((most - 1) * 0.6);
  return letters.slice(0, head).join("") + "…" + letters.slice(letters.length - (most - 1 - head)).join("");
}

/** A text in which control characters, and those that turn the direction of others, can be seen. */
export function visible(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (letter) =>
    "\\u" + letter.charCodeAt(0).toString(16).padStart(4, "0"));
}
