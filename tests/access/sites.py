"""Clients of sites whose names no DNS knows: loopback is asked, with `Host` and SNI as they should be."""

import ssl
from pathlib import Path

import httpx2


class _Here(httpx2.HTTPTransport):
    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        there = httpx2.Request(
            request.method,
            request.url.copy_with(host="127.0.0.1"),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        return super().handle_request(there)


def client(root: Path | None = None, *, http2: bool = False, source: str = "127.0.0.1") -> httpx2.Client:
    """`root`: the authority (PEM) that is trusted, and no other. `source`: the client's own address."""
    trust = ssl.create_default_context(cafile=str(root)) if root else ssl.create_default_context()
    return httpx2.Client(
        transport=_Here(verify=trust, trust_env=False, http2=http2, local_address=source), timeout=30
    )


def root_of(home: Path) -> Path:
    """The certificate of the gateway's own authority."""
    return home / "data/gateway/pki/authorities/local/root.crt"
