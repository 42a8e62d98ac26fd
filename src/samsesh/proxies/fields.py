"""What to enter in the fields of a proxy that is set up by its own pages: one entry a host."""

from collections.abc import Callable, Sequence

from samsesh.proxies.layout import Forward, Layout

Entry = Sequence[tuple[str, str]]  # (field, what to enter; a line each)


def sheet(layout: Layout, kind: str, where: Sequence[str], entry: Callable[[Forward], Entry]) -> str:
    """`where`: how to come to the fields, and what holds for all hosts."""
    parts = [f"# {layout.about(kind)}", *where]
    for forward in layout.forwards:
        fields = entry(forward)
        width = max(len(field) for field, _ in fields)
        parts += ["", f"{forward.host}, port {forward.port}"]
        for field, text in fields:
            first, *more = text.splitlines()
            parts += [f"    {field:{width}}  {first}", *(f"    {'':{width}}  {line}" for line in more)]
    return "\n".join(parts) + "\n"
