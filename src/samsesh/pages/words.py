"""The words of our pages: one catalogue, words.toml, in every language that the pages speak."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markupsafe import Markup

LANGUAGES = {"en": "English", "fa": "فارسی"}  # in their own words; the first is for everybody else
RIGHT_TO_LEFT = frozenset({"fa"})
DIGITS = {"fa": str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")}  # numbers are written with them


@dataclass(frozen=True)
class Words:
    """The catalogue in one language: `words("welcome.lead", brand=...)`."""

    language: str

    def __call__(self, key: str, **values: object) -> Markup:
        """A text of a page. What is filled in is escaped unless it is markup itself."""
        section, name = key.split(".")
        text = Markup(catalogue()[section][name][self.language])  # noqa: S704 - ours, without strangers' words
        return text.format(**{name: self._written(value) for name, value in values.items()})

    def _written(self, value: object) -> object:
        return str(value).translate(DIGITS.get(self.language, {})) if isinstance(value, int) else value

    def section(self, name: str) -> dict[str, str]:
        """All texts of a section, to be filled in by scripts."""
        return {key: texts[self.language] for key, texts in catalogue()[name].items()}

    @property
    def direction(self) -> str:
        return "rtl" if self.language in RIGHT_TO_LEFT else "ltr"


@cache
def catalogue() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """Section -> key -> language -> text."""
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
