// Elements: made once, then changed only where they differ.
//
// The only file that touches the document's building blocks. Strings reach the document as text
// nodes and attribute values alone, never as HTML: names in events are hostile.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element with attributes, listeners (onclick: function) and children. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element, as `h`. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else set(node, name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets an attribute where it differs; null, undefined and false take it away. */
export function set(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (value === true) set(node, name, "");
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** Sets the text of a node where it differs. */
export function text(node, value) {
  const string = String(value);
  if (node.textContent !== string) node.textContent = string;
}

/** A name from outside: isolated, so that its writing direction stays its own, whole in title. */
export function name(value, className = "") {
  return h("bdi", { class: `id ${className}`.trim(), title: value }, value);
}

/** Changes the text and title of a node made by `name`. */
export function rename(node, value) {
  text(node, value);
  set(node, "title", value);
}

const shown = new WeakMap();

/** Whether `value` differs from what was last given for this node and slot; remembers it. */
export function changed(node, slot, value) {
  const slots = shown.get(node) ?? new Map();
  shown.set(node, slots);
  const now = JSON.stringify(value) ?? "";
  if (slots.get(slot) === now) return false;
  slots.set(slot, now);
  return true;
}

const parts = new WeakMap();

/**
 * Makes the children of `parent` those of `items`, in order, each kept by its key.
 *
 * `make(item)` gives `{node, update}`; `update(item)` runs where the item differs from the last
 * one. Nodes keep their identity, and with it focus, scroll place and open state. Children start
 * behind the child `after`, where one is given.
 */
export function keyed(parent, items, key, make, after = null) {
  const focused = document.activeElement;
  const before = parts.get(parent) ?? new Map();
  const now = new Map();
  for (const item of items) {
    const id = key(item);
    if (now.has(id)) continue;
    const part = before.get(id) ?? make(item);
    now.set(id, part);
    if (changed(part.node, "item", item)) part.update?.(item);
  }
  for (const [id, part] of before) if (!now.has(id)) part.node.remove();
  let place = after ? after.nextSibling : parent.firstChild;
  for (const { node } of now.values()) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  parts.set(parent, now);
  // A node that was moved loses the focus; whoever works by keyboard must not.
  if (focused !== document.activeElement && parent.contains(focused))
    focused.focus({ preventScroll: true });
}
