"""QR codes. segno is imported where it is used: most commands need none."""

import io


def qr_svg(text: str) -> bytes:
    """A QR code as an SVG file: dark on white in both themes, because not every camera reads the inverse."""
    import segno

    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", border=3, dark="#0b0d17", light="#fff", xmldecl=False, omitsize=True
    )
    return out.getvalue()


def qr_terminal(text: str) -> str:
    """A QR code for a terminal, in half blocks, with the quiet zone that cameras need."""
    import segno

    out = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(out, border=2, compact=True)
    return out.getvalue().rstrip("\n")
