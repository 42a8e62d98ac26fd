"""Contrast of every text that a page shows, as it is painted: by its colour and a picture of what is behind it.

WCAG 2.2, 1.4.3: 4.5, or 3 for large letters; what is disabled may have less.
"""

import base64
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

from samsesh.pages.colours import contrast, mixed

WITHOUT_TEXT = """
* { color: transparent !important; -webkit-text-fill-color: transparent !important; transition: none !important;
    text-shadow: none !important; text-decoration-color: transparent !important; caret-color: transparent !important }
::placeholder { color: transparent !important }
"""
TEXTS = r"""
() => {
  const OFF = "[disabled], [aria-disabled='true'], .mx_AccessibleButton_disabled, script, style";
  const texts = [];
  const look = (element, words, rects, style) => {
    const { color, fontSize, fontWeight } = style;
    if (/, 0\)$/.test(color)) return; // a placeholder below a label
    let opacity = 1;
    const frames = [];
    for (let at = element; at; at = at.parentElement) {
      opacity *= Number(getComputedStyle(at).opacity);
      if (getComputedStyle(at).overflow !== "visible" && at !== document.body) frames.push(at.getBoundingClientRect());
    }
    for (const { x, y, width, height } of rects) {
      const inside = (at) => x >= at.left && y >= at.top && x + width <= at.right + 1 && y + height <= at.bottom + 1;
      if (!frames.every(inside)) continue;
      const [middle, center] = [x + width / 2, y + height / 2];
      const seen = document.elementFromPoint(middle, center);
      if (width < 2 || height < 2 || !seen || !(element.contains(seen) || seen.contains(element))) continue;
      const large = parseFloat(fontSize) >= 24 || (parseFloat(fontSize) >= 18.66 && Number(fontWeight) >= 700);
      const name = element.className?.baseVal ?? element.className;
      texts.push({ words, color, opacity, large, x, y, width, height, where: `${element.tagName} ${name}` });
    }
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement;
    const words = node.textContent.trim();
    if (!/[\p{L}\p{N}]/u.test(words) || element.closest(OFF)) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    look(element, words, [...range.getClientRects()], getComputedStyle(element));
  }
  for (const field of document.querySelectorAll("input:not([type=checkbox], [type=radio]), textarea")) {
    const words = field.value || field.placeholder;
    if (!words || field.disabled || !field.checkVisibility({ opacityProperty: true })) continue;
    const style = field.value ? getComputedStyle(field) : getComputedStyle(field, "::placeholder");
    const { x, y, width, height } = field.getBoundingClientRect();
    look(field, words, [{ x: x + width * 0.1, y: y + height * 0.3, width: width * 0.3, height: height * 0.4 }], style);
  }
  return texts;
}
"""
# The colours at the darker and at the lighter quarter behind each text.
GROUNDS = """
async ([png, rects]) => {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const canvas = new OffscreenCanvas(picture.width, picture.height).getContext("2d", { willReadFrequently: true });
  canvas.drawImage(picture, 0, 0);
  const hex = (pixel) => "#" + pixel.map((channel) => channel.toString(16).padStart(2, "0")).join("");
  return rects.map(([x, y, width, height]) => {
    const { data } = canvas.getImageData(Math.floor(x), Math.floor(y), Math.ceil(width), Math.ceil(height));
    const pixels = [];
    for (let at = 0; at < data.length; at += 4) pixels.push([...data.slice(at, at + 3)]);
    const light = ([red, green, blue]) => 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    pixels.sort((one, other) => light(one) - light(other));
    return [0.25, 0.75].map((share) => hex(pixels[Math.floor(share * (pixels.length - 1))]));
  });
}
"""


@dataclass(frozen=True)
class Text:
    """Words on a page; `contrast` from 1 to 21 against the worse of the grounds behind them, and what it has to be."""

    words: str
    where: str  # tag and classes
    colour: str
    ground: str
    contrast: float
    least: float

    def __str__(self) -> str:
        return f"{self.contrast:.2f} {self.words[:40]!r} {self.colour} on {self.ground} ({self.where[:80]})"


def texts(page: Page) -> list[Text]:
    """All that can be seen now, the least readable first."""
    found: list[dict[str, Any]] = page.evaluate(TEXTS)
    size = page.viewport_size
    assert size
    found = [one for one in found if _inside(one, size["width"], size["height"])]
    png = page.screenshot(style=WITHOUT_TEXT, animations="disabled", scale="css")
    rects = [[one[key] for key in ("x", "y", "width", "height")] for one in found]
    blank = page.context.browser.new_page()  # type: ignore[union-attr]
    grounds = blank.evaluate(GROUNDS, [base64.b64encode(png).decode(), rects])
    blank.close()
    measured = [_measured(one, pair) for one, pair in zip(found, grounds, strict=True)]
    return sorted(measured, key=lambda text: text.contrast / text.least)


def poor(page: Page) -> list[str]:
    """Those that are hard to read, for people."""
    return [str(text) for text in texts(page) if text.contrast < text.least]


def _inside(one: dict[str, Any], width: int, height: int) -> bool:
    return bool(
        one["x"] >= 0
        and one["y"] >= 0
        and one["x"] + one["width"] <= width
        and one["y"] + one["height"] <= height
    )


def _measured(one: dict[str, Any], grounds: list[str]) -> Text:
    channels = one["color"].partition("(")[2].rstrip(")").replace("/", ",").split(",")
    alpha = (float(channels[3]) if len(channels) > 3 else 1.0) * one["opacity"]
    plain = "#" + "".join(f"{round(float(channel)):02x}" for channel in channels[:3])
    seen = [(mixed(ground, plain, alpha), ground) for ground in grounds]
    colour, ground = min(seen, key=lambda pair: contrast(*pair))
    return Text(
        one["words"], one["where"], colour, ground, contrast(colour, ground), 3.0 if one["large"] else 4.5
    )
