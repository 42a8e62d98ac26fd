"""Writes the pages and samples that come from the settings model: `python -m samsesh.docs [--check]`."""

import sys
from pathlib import Path

from samsesh.environment import DOCUMENT, SECRET_VARIABLES, keys, meaning, runs_code, variable_of
from samsesh.errors import FAILED
from samsesh.load import plain
from samsesh.ops.config import sample, value_of
from samsesh.settings import Settings
from samsesh.settings_server import Ports
from samsesh.write import write_file

MADE = "<!-- Made by `python -m samsesh.docs` from the settings model; do not edit. -->\n\n"
READABLE = 0o644


def settings_page() -> str:
    lines = [
        MADE + "# Settings",
        "",
        "What `samsesh.toml` in the home folder may say. Unknown names are errors.",
        "",
        "Those with † choose what is executed or loaded. `samsesh restore` shows them and asks before it takes them "
        "from a backup; without a terminal it leaves them out, unless you add `--trust-programs`.",
        "",
    ]
    for section, part in Settings.model_fields.items():
        assert part.annotation is not None
        about = (part.annotation.__doc__ or "").strip().splitlines()[0]
        lines += [f"## [{section}]", "", about, "", "| setting | default | meaning |", "|---|---|---|"]
        for name in part.annotation.model_fields:
            key = f"{section}.{name}"
            mark = "† " * runs_code(key)
            lines.append(f"| `{key}` | {_default(key)} | {mark}{_cell(meaning(key))} |")
        lines.append("")
    return "\n".join(lines)


def ports_page() -> str:
    lines = [
        MADE + "# Ports",
        "",
        "Each is a setting; `ports.offset` moves all that are left at their default.",
        "",
    ]
    lines += [
        "| setting | default | protocol | served by | for people | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for name, field in Ports.model_fields.items():
        extra = field.json_schema_extra
        if not isinstance(extra, dict):
            continue
        public = "yes" if extra["public"] else "no"
        cells = f"| `ports.{name}` | {field.default} | {extra['protocol']} | {extra['service']} | {public} |"
        lines.append(f"{cells} {_cell(field.description)} |")
    return "\n".join(lines) + "\n"


def environment_page() -> str:
    lines = [MADE + "# Environment variables", ""]
    lines += [
        "A `.env` file in the home folder counts over `samsesh.toml`, always.",
        "Variables of your shell, and of a `.env` in the folder you are in, are taken over once, by the first `setup` or "
        "`up`, for what the settings leave open; later differences are reported and not followed.",
        "",
        "The `.env` of a folder is heeded only if you, root or who called sudo owns it and nobody else can write it or "
        "its folder; it is closed to others (mode 600), and what it sets is printed, without secrets. What chooses "
        "programs, images or `extra` is not taken from there. As root, whether the server runs in containers, `UID` and "
        "`GID` count once they were confirmed (`--yes` confirms them); root keeps them where root alone can write, and "
        "no file of the home changes them: [security](../security.md).",
        "",
        "| variable | setting |",
        "|---|---|",
    ]
    lines += [f"| `{variable}` | `{key}` |" for variable, key in DOCUMENT.items()]
    lines += [
        f"| `{variable}` | secret `{name}`; weak values are replaced |"
        for variable, name in SECRET_VARIABLES.items()
    ]
    lines += [f"| `{variable_of(key)}` | `{key}` |" for key in keys()]
    return "\n".join(lines) + "\n"


def env_example() -> str:
    lines = ["# Copy to .env and uncomment what you want to change. Keep it to yourself: chmod 600 .env"]
    for variable, key in DOCUMENT.items():
        value = plain(value_of(key, Settings()))
        text = ",".join(value) if isinstance(value, list) else {True: "yes", False: "no"}.get(value, value)
        lines += ["", f"# {meaning(key)}", f"#{variable}={text}"]
    for variable in SECRET_VARIABLES:
        lines += [
            "",
            "# Generated where it is not set; well-known and short values are refused.",
            f"#{variable}=",
        ]
    return "\n".join(lines) + "\n"


def _default(key: str) -> str:
    value = plain(value_of(key, Settings()))
    return (
        "" if value in (None, "", [], {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"
    )


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")


def pages(root: Path) -> dict[Path, str]:
    return {
        root / "docs/reference/settings.md": settings_page(),
        root / "docs/reference/ports.md": ports_page(),
        root / "docs/reference/environment.md": environment_page(),
        root / "samsesh.example.toml": sample(),
        root / ".env.example": env_example(),
    }


def main() -> None:
    """Run in the root of a checkout."""
    wrong = []
    for path, text in pages(Path.cwd()).items():
        if "--check" not in sys.argv:
            write_file(path, text, READABLE)
        elif not path.exists() or path.read_text() != text:
            wrong.append(str(path))
    if wrong:
        sys.stderr.write(
            f"not what the settings model says: {', '.join(wrong)}; run python -m samsesh.docs\n"
        )
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
