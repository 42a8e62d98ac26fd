"""The operator's colour, made lighter or darker where words in it, or on it, could not be read (WCAG 2.2, 1.4.3)."""

LEAST = 4.5  # contrast of words of usual size
GROUNDS = {"dark": "#101317", "light": "#ffffff"}  # of Element's own themes
RAISED = {
    "dark": "#26282d",
    "light": "#e1e6ec",
}  # Compound's gray-400: the ground of what is hovered or chosen
TINT = 0.08  # share of a colour in a ground that is no further from the theme's than RAISED
SEEN = 3.0  # of a button and what it is on (1.4.11)
STEP = 0.04


def readable(colour: str, ground: str, least: float = LEAST) -> str:
    """The nearest to `colour` that can be read on `ground`, or `ground` on it. Both are `#rrggbb`."""
    away = _away(ground)
    share = 0.0
    found = colour
    while contrast(found, ground) < least and share < 1:
        share = min(1.0, share + STEP)
        found = mixed(colour, away, share)
    return found


def words_on(colour: str) -> str:
    """White, or black where white could not be read."""
    return "#ffffff" if contrast("#ffffff", colour) >= LEAST else "#000000"


def mixed(colour: str, other: str, share: float) -> str:
    """`colour` with so much (0 to 1) of another in it."""
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(mine + (theirs - mine) * share):02x}" for mine, theirs in pairs)


def contrast(one: str, other: str) -> float:
    """From 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def compound(colour: str, theme: str) -> dict[str, str]:
    """The operator's colour as tokens of Compound, the design system of Element's pages.

    What is hovered or pressed goes further from the ground, so that contrast only grows. Words on a solid colour have
    the ground's (`--cpd-color-text-on-solid-primary`), so what can be read on the ground can be written on, too.
    """
    ground = GROUNDS[theme]
    accent = readable(colour, RAISED[theme])
    away = _away(ground)
    further = ground if accent == away else away  # of black and white there is nothing further
    hovered, pressed = mixed(accent, further, 0.15), mixed(accent, further, 0.3)
    tint = mixed(ground, accent, TINT)
    return {
        "--cpd-color-bg-accent-rest": accent,
        "--cpd-color-bg-accent-hovered": hovered,
        "--cpd-color-bg-accent-pressed": pressed,
        "--cpd-color-bg-accent-selected": tint,
        "--cpd-color-bg-action-primary-rest": accent,
        "--cpd-color-bg-action-primary-hovered": hovered,
        "--cpd-color-bg-action-primary-pressed": pressed,
        "--cpd-color-bg-badge-accent": tint,
        "--cpd-color-border-accent-primary": accent,
        "--cpd-color-border-accent-subtle": mixed(ground, accent, 0.5),
        "--cpd-color-icon-accent-primary": accent,
        "--cpd-color-icon-accent-tertiary": accent,
        "--cpd-color-text-action-accent": accent,
        "--cpd-color-text-badge-accent": accent,
    }


def compound_style(colour: str) -> str:
    """The same as a stylesheet for both themes. Compound's own rules name the class of a theme twice."""
    rules = []
    for theme in GROUNDS:
        tokens = "; ".join(f"{name}: {value}" for name, value in compound(colour, theme).items())
        rules.append(f"{3 * f'.cpd-theme-{theme}'} {{ {tokens} }}")
    return "\n".join(rules)


def _away(ground: str) -> str:
    """White or black: what is furthest from a ground."""
    return "#ffffff" if _luminance(ground) < 0.18 else "#000000"


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def _luminance(colour: str) -> float:
    """Relative luminance, 0 to 1."""

    def linear(channel: int) -> float:
        part = channel / 255
        return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

    red, green, blue = map(linear, _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
