"""Scripts that measure contrast on the page as drawn (WCAG 2.2: 1.4.3 text, 1.4.11 graphics)."""

from __future__ import annotations

from typing import Final

_MEASURE: Final = r"""
const part = (value) => {
  const v = value / 255;
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
};
const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
const ratio = (a, b) => {
  const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
};
const colour = (text) => {
  const found = text.match(/[\d.]+/g);
  return found ? [...found.slice(0, 3), found[3] ?? 1].map(Number) : null;
};
const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
const ground = (node) => {
  const layers = [];
  for (let at = node; at; at = at.parentElement) {
    const found = colour(getComputedStyle(at).backgroundColor);
    if (found && found[3] > 0) layers.push(found);
    if (found && found[3] === 1) break;
  }
  return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
};
const seen = (node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true })
  && node.getBoundingClientRect().width > 0 && node.getBoundingClientRect().right > 0;
"""

# Every element that holds text itself and falls short of 4.5 (3 where the text is large).
POOR: Final = (
    _MEASURE
    + r"""
return [...document.querySelectorAll("body *")].filter((node) =>
  [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()) && seen(node)
).map((node) => {
  const style = getComputedStyle(node);
  const ink = colour(node instanceof SVGElement ? style.fill : style.color);
  const under = ground(node);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const name = String(node.className.baseVal ?? node.className);
  return { text: node.textContent.slice(0, 40), class: name,
           ratio: ratio(over(ink, under), under), needs: large ? 3 : 4.5 };
}).filter(({ ratio, needs }) => ratio < needs);
"""
)

# Every line and shape without which a chart or badge cannot be read, below 3.
PALE: Final = (
    _MEASURE
    + r"""
const meant = ".plot .estimate, .plot .zero, .plot .margin, .plot .marker,"
  + ".plot .crest:not(.filling),"
  + ".badge svg .solid, .badge svg .line, .meter .load, .forest .whisker, .forest .dot";
return [...document.querySelectorAll(meant)].filter(seen).map((node) => {
  const style = getComputedStyle(node);
  const ink = colour(style.stroke) ?? colour(style.fill);
  const under = ground(node);
  return { class: String(node.className.baseVal), ratio: ratio(over(ink, under), under) };
}).filter(({ ratio }) => ratio < 3);
"""
)
