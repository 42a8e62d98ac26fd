"""One look for all pages: colours of both themes, the operator's accent in them, and the picture behind the pages."""

from typing import TYPE_CHECKING

from samsesh.pages.colours import SEEN, mixed, readable, words_on

if TYPE_CHECKING:
    from samsesh.pages import PageFacts

ACCENT = "#6656f0"  # ours
THEMES = ("dark", "light")
CARDS = {"dark": "#131626", "light": "#ffffff"}  # as in style.css and light.css, and so are the next two
GROUNDS = {"dark": "#0a0c16", "light": "#f5f5fc"}
GLOWS = {"dark": ("#3b2f92", "#0c5f68"), "light": ("#d9d2ff", "#c9f1ec")}
MEDIA = {"dark": "not all", "light": "all", "auto": "(prefers-color-scheme: light)"}  # of light.css, by theme


def variables(theme: str, accent: str) -> str:
    """Declarations of style.css's colours that follow the operator's accent."""
    link = readable(accent, CARDS[theme])
    # Bright ones stay as buttons on the dark ground, with dark words on them.
    button = readable(accent, CARDS[theme], SEEN) if theme == "dark" else link
    words = words_on(button)
    over = mixed(button, "#ffffff" if words == "#000000" else "#000000", 0.15)
    first, second = glows(theme, accent)
    return (
        f"--link: {link}; --glow: {first}; --glow-2: {second}; "
        f"--button: {button}; --button-over: {over}; --on-button: {words};"
    )


def glows(theme: str, accent: str) -> tuple[str, str]:
    """The two lights of the picture behind the pages."""
    if not accent:
        return GLOWS[theme]
    return mixed(accent, GROUNDS[theme], 0.7), mixed(accent, GROUNDS[theme], 0.82)


def brand_css(facts: "PageFacts", picture: str = "") -> str:
    """What the operator's colour and picture change in style.css. `picture`: its file's name."""
    lines = [f":root {{ {variables('dark', facts.accent)} }}"] if facts.accent else []
    if picture:
        veil = "color-mix(in srgb, var(--ground) 72%, transparent)"
        image = f'url("./{picture}") center / cover fixed'
        lines.append(f"body {{ background: linear-gradient({veil} 0 0), {image}, var(--ground); }}")
    return "\n".join(lines)


def light_css(css: str, accent: str) -> str:
    """light.css with the operator's colour."""
    return f"{css}:root {{ {variables('light', accent)} }}\n" if accent else css


def behind(theme: str, accent: str, picture: str = "") -> str:
    """The same as a CSS background. `picture`: the operator's own, as a file's name."""
    if picture:
        veil = f"{GROUNDS[theme]}d0"
        return f'linear-gradient({veil} 0 0), url("./{picture}") center / cover'
    first, second = glows(theme, accent)
    return (
        f"radial-gradient(90vw 60vh at 12% -8%, {first}, transparent 70%), "
        f"radial-gradient(70vw 50vh at 96% 104%, {second}, transparent 70%)"
    )


def backdrop(theme: str, accent: str) -> bytes:
    """The same picture as an SVG file, for pages that are not ours. `theme` may be "auto": then the browser's counts."""
    first = "light" if theme == "light" else "dark"
    rules = _rules(first, accent)
    if theme == "auto":
        rules += f" @media {MEDIA['auto']} {{ {_rules('light', accent)} }}"
    lights = "".join(
        f'<radialGradient id="{name}" {place}><stop class="{name}"/><stop class="{name}" offset="1" stop-opacity="0"/>'
        "</radialGradient>"
        for name, place in (("a", 'cx=".16" cy="-.05" r=".75"'), ("b", 'cx=".95" cy="1.05" r=".7"'))
    )
    layers = "".join(
        f'<rect width="1600" height="1000" {fill}/>' for fill in ('class="g"', *map(_fill, "ab"))
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1600 1000" preserveAspectRatio="xMidYMid slice">'
        f"<style>{rules}</style><defs>{lights}</defs>{layers}</svg>\n"
    ).encode()


def _fill(name: str) -> str:
    return f'fill="url(#{name})"'


def _rules(theme: str, accent: str) -> str:
    first, second = glows(theme, accent)
    return f".g {{ fill: {GROUNDS[theme]} }} .a {{ stop-color: {first} }} .b {{ stop-color: {second} }}"
