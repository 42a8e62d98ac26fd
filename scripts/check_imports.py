"""Data flows one way: a module imports the layers below its own, and siblings leave each other alone."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"

# Lowest first. A part is a module or package directly in samsesh; parts of one layer may import each other.
LAYERS = (
    ("__init__", "database_url", "errors", "formats", "masking", "names", "networks", "text", "urls"),
    ("owners", "pairs", "run", "write"),
    ("compress", "placing"),
    ("home",),
    (
        "environment",
        "facts",
        "fields",
        "findings",
        "load",
        "local_env",
        "secrets",
        "settings",
        "settings_server",
        "synapse_keys",
    ),
    (
        "access",
        "cache",
        "download",
        "indexes",
        "operator_files",
        "packages",
        "pins",
        "releases",
        "tools",
        "wheels",
    ),
    ("model", "placement"),
    ("agent", "artifacts", "clients", "pages", "rtc", "splitter", "synapse_module"),
    ("services",),
    ("engine", "judging", "plan", "ports", "registry"),
    ("firewall", "proxies"),
    ("engines",),
    ("ops",),
    ("caller", "checks", "diagnosis", "preflight", "stranger", "web_servers"),
    ("cli",),
    ("__main__", "docs"),
)
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}

# In these a module or package stands alone: adding one must not touch another.
SIBLINGS = ("services", "engines", "clients", "artifacts", "checks")

# What is pure may not even reach for the machine.
PURE = ("access", "fields", "firewall", "model", "plan", "proxies", "services", "settings", "settings_server")
MACHINE = (
    "samsesh.run",
    "samsesh.write",
    "httpx2",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "urllib.request",
)

# Processes start in run.py alone.
ALONE = {"subprocess": "samsesh.run"}


def main() -> int:
    files = sorted((SOURCE / "samsesh").rglob("*.py"))
    modules = {module_name(path): path for path in files}
    wrong = [
        f"{path.relative_to(SOURCE.parent)}:{line}: {problem}"
        for name, path in modules.items()
        for line, imported in imports(path, modules)
        for problem in problems(name, imported)
    ]
    print("\n".join(wrong) or f"import direction: {len(files)} files, all well")
    return 1 if wrong else 0


def module_name(path: Path) -> str:
    """`samsesh.services.synapse` for src/samsesh/services/synapse/__init__.py."""
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    return name.removesuffix(".__init__") if name != "samsesh.__init__" else name


def imports(path: Path, modules: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """Every (line, module) that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield node.lineno, whole if whole in modules else node.module


def problems(name: str, imported: str) -> Iterator[str]:
    """What is wrong with module `name` importing `imported`."""
    part = name.split(".")[1]
    if part in PURE and below(imported, MACHINE):
        yield f"{part} only makes data: it does not import {imported}"
    if imported in ALONE and name != ALONE[imported]:
        yield f"only {ALONE[imported]} imports {imported}"
    if not below(imported, ["samsesh"]):
        return
    other = [*imported.split("."), "__init__"][1]
    for unknown in {part, other} - RANK.keys():
        yield f"samsesh.{unknown} has no place in the layers of {Path(__file__).name}"
    if RANK.get(other, 0) > RANK.get(part, len(LAYERS)):
        yield f"{part} comes before {other} and does not import it"
    if part == other and part in SIBLINGS and sibling(name) != sibling(imported):
        yield f"{sibling(name)} and {sibling(imported)} stand alone: neither imports the other"


def sibling(name: str) -> str:
    """`services.synapse` of samsesh.services.synapse.config."""
    return ".".join(name.split(".")[1:3])


def below(name: str, tops: tuple[str, ...] | list[str]) -> bool:
    return any(name == top or name.startswith(f"{top}.") for top in tops)


if __name__ == "__main__":
    sys.exit(main())
