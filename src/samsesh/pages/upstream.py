"""A page that only a container has, made ours by the gateway: a template of Caddy's, which asks for it and changes it.

Syntax: Go's text/template with Sprig's functions (Caddy's documentation: http.handlers.templates).
"""

import json
from collections.abc import Sequence

PATH = "/samsesh/upstream"  # below it the gateway passes everything on to the container
# The one inline script of Element Call sets this; a policy that knows no hash of it takes it from a file.
GLOBAL_JS = b"window.global = window;\n"
INLINE = r"<script>.*?</script>"


def template(page: str, changes: Sequence[tuple[str, str]]) -> bytes:
    """`page`: its path in the container; `changes`: (regular expression that is the same to Go, replacement)."""
    parts = [f"{{{{$page := httpInclude {_quoted(PATH + page)}}}}}"]
    for pattern, new in changes:
        parts.append(
            f"{{{{$page = regexReplaceAllLiteral {_quoted(f'(?s){pattern}')} $page {_quoted(new)}}}}}"
        )
    return "".join([*parts, "{{$page}}"]).encode()


def _quoted(text: str) -> str:
    """A string as Go reads it."""
    return json.dumps(text, ensure_ascii=False)
