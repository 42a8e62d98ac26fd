"""Server discovery against a small internet of its own: a network namespace with addresses, names and homeservers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import nameserver
from programs import need
from rtc import homeservers
from rtc.running import KEY, SECRET, Authority, Rtc, current, wait_for

WEB, HOME, HOME6 = "8.8.1.1", "8.8.1.2", "2a00::1"  # public addresses, at home on the loopback device
PRIVATE = [
    "10.0.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "192.168.1.1", "172.16.0.1", "198.18.0.1",
    "168.63.129.16", "::1", "fd00:ec2::254", "2002:a00:1::1", "64:ff9b:1::a00:1",
]  # fmt: skip
SILENT = 64  # names whose name server does not answer
FULL, INSIDE = "client.example", "client-inside.example"  # these have full access


def _wk(**value: str) -> dict[str, Any]:
    return {"m.server": value["server"]} if "server" in value else value


# name -> what its .well-known/matrix/server says; all are served by WEB
WELL_KNOWN: dict[str, dict[str, Any]] = {
    "wk-port.example": _wk(server="hs.example:8449"),
    "wk-address.example": _wk(server=f"{HOME}:8449"),
    "wk-srv.example": _wk(server="delegated.example"),
    "wk-plain.example": _wk(server="hs.example"),
    "wk-redirect.example": {"to": "https://web.example/elsewhere"},
    "wk-http.example": {"to": "http://web.example/elsewhere"},
    "wk-loop.example": {"to": "https://wk-loop.example/.well-known/matrix/server"},
    "wk-inside.example": {"to": "https://10.0.0.1/.well-known/matrix/server"},
    "wk-inside6.example": {"to": "https://[::1]/.well-known/matrix/server"},
    "wk-inside-name.example": {"to": "https://inside.example/.well-known/matrix/server"},
    "wk-localhost.example": {"to": "https://localhost/.well-known/matrix/server"},
    "wk-huge.example": {"m.server": "hs.example:8449", "size": 60_000},
    "wk-to-inside.example": _wk(server="10.0.0.1:8448"),
    "wk-to-inside6.example": _wk(server="[fd00:ec2::254]:8448"),
    "wk-to-mapped.example": _wk(server="[::ffff:10.0.0.1]:8448"),
    "wk-to-number.example": _wk(server="2130706433:8448"),
    "wk-to-short.example": _wk(server="127.1:8448"),
    "wk-to-localhost.example": _wk(server="localhost:8448"),
    "wk-nonsense.example": _wk(server="https://hs.example/"),
    FULL: _wk(server="hs.example:8449"),
    INSIDE: _wk(server="hs.example:8449"),
}
SRV = {
    "_matrix-fed._tcp.delegated.example": ["10 5 8450 hs-srv.example."],
    "_matrix._tcp.srv-old.example": ["10 5 8450 hs-srv.example."],
    "_matrix-fed._tcp.srv-order.example": [
        "20 5 8450 nowhere.example.",
        "30 5 8450 hs-srv.example.",
        "10 5 1 hs.example.",
    ],
    "_matrix-fed._tcp.srv-inside.example": ["10 5 8448 inside.example."],
    "_matrix-fed._tcp.srv-none.example": ["0 0 0 ."],
}


@dataclass
class Internet:
    rtc: Rtc
    log: Path

    def hits(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def posts(self) -> list[dict[str, Any]]:
        return [hit for hit in self.hits() if hit["method"] == "POST"]


@pytest.fixture(scope="module")
def internet(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    found = make(authority, tmp_path_factory.mktemp("internet"))
    yield found
    found.rtc.stop()


def make(authority: Authority, folder: Path, **variables: str) -> Internet:
    """All of it, and a service in it that is asked over a unix socket, which reaches out of the namespace."""
    apart = ["unshare", "--net", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    need("unshare"), need("ip")
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespaces here")
    names = [
        *WELL_KNOWN,
        "web.example",
        "plain.example",
        "srv-old.example",
        "quick.example",
        "direct.example",
        "srv-inside.example",
    ]
    records: dict[str, dict[str, list[str]]] = {name: {"A": [WEB]} for name in names}
    records |= {name: {"SRV": values} for name, values in SRV.items()}
    records |= {
        "hs.example": {"A": [HOME]},
        "hs-srv.example": {"A": [HOME], "AAAA": [HOME6]},
        "plain.example": {"A": [HOME]},
        "six.example": {"AAAA": [HOME6]},
        "direct.example": {"A": [HOME]},
        "quick.example": {"A": [HOME]},
        "mixed.example": {"A": ["10.0.0.1", HOME, "127.0.0.1"]},
        "inside.example": {"A": ["10.0.0.1"], "AAAA": ["fd00:ec2::254"]},
        "othercert.example": {"A": [HOME]},
        "srv-order.example": {},
        "srv-none.example": {},
        "loop.example": {"CNAME": ["loop.example."]},
        "_matrix-fed._tcp.cname-loop.example": {"CNAME": ["_matrix-fed._tcp.cname-loop.example."]},
        "cname-loop.example": {},
    }
    records |= {f"silent{number}.example": {nameserver.SILENCE: []} for number in range(SILENT)}
    records |= {f"in{number}.example": {_kind(text): [text]} for number, text in enumerate(PRIVATE)}
    certified = {
        *WELL_KNOWN,
        *(name for name in records if not name.startswith("silent")),
        "delegated.example",
        "localhost",
        HOME,
        HOME6,
        *PRIVATE,
    } - {"othercert.example"}
    pages: dict[str, Any] = {f"{name}/.well-known/matrix/server": page for name, page in WELL_KNOWN.items()}
    pages["web.example/elsewhere"] = {"m.server": "hs.example:8449"}
    pages[f"{FULL}/.well-known/matrix/client"] = {"m.homeserver": {"base_url": "https://hs.example:8449/"}}
    pages[f"{INSIDE}/.well-known/matrix/client"] = {"m.homeserver": {"base_url": "https://10.0.0.1:8448"}}
    for name in [*PRIVATE, "inside.example", "localhost"]:  # would be believed, if anybody asked
        pages[f"{name}/.well-known/matrix/server"] = {"m.server": "hs.example:8449"}
    public = [
        (WEB, 443),
        *((HOME, port) for port in (8448, 8449, 8450)),
        *((HOME6, port) for port in (8448, 8450)),
    ]
    spec = {
        "addresses": [
            f"{text}/{128 if ':' in text else 32}"
            for text in [WEB, HOME, HOME6, *PRIVATE]
            if text not in ("127.0.0.1", "::1")
        ],
        "certificate": authority.issue(*sorted(name for name in certified if "_" not in name)),
        "pages": pages,
        "listen": [*public, *((text, port) for text in PRIVATE for port in (443, 8448))],
        "records": records,
        "hits": str(folder / "hits"),
        "command": [sys.executable, "-m", "samsesh", "rtc-auth"],
        "environ": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    environ = {
        "LIVEKIT_URL": "ws://127.0.0.1:9",
        "LIVEKIT_KEY": KEY,
        "LIVEKIT_SECRET": SECRET,
        "LIVEKIT_FULL_ACCESS_HOMESERVERS": f"{FULL},{INSIDE}",
        "LIVEKIT_LOG_LEVEL": "debug",
        "LIVEKIT_JWT_BIND": f"unix:{folder}/rtc.sock",
        "SSL_CERT_FILE": authority.bundle,
        **variables,
    }
    command = (*apart, sys.executable, homeservers.__file__, str(folder / "spec.json"))
    rtc = Rtc(environ, folder / "log", command).start()
    return Internet(rtc, folder / "hits")


def _kind(text: str) -> str:
    return "AAAA" if ":" in text else "A"


@pytest.mark.parametrize(
    ("server", "to", "port", "host", "sni"),
    [
        ("direct.example:8449", HOME, 8449, "direct.example:8449", "direct.example"),
        (HOME, HOME, 8448, HOME, None),
        (f"{HOME}:8449", HOME, 8449, f"{HOME}:8449", None),
        (f"[{HOME6}]", HOME6, 8448, f"[{HOME6}]", None),
        (f"[{HOME6}]:8450", HOME6, 8450, f"[{HOME6}]:8450", None),
        ("wk-port.example", HOME, 8449, "hs.example:8449", "hs.example"),
        ("wk-address.example", HOME, 8449, f"{HOME}:8449", None),
        ("wk-srv.example", None, 8450, "delegated.example", "delegated.example"),
        ("wk-plain.example", HOME, 8448, "hs.example", "hs.example"),
        ("wk-redirect.example", HOME, 8449, "hs.example:8449", "hs.example"),
        ("srv-old.example", None, 8450, "srv-old.example", "srv-old.example"),
        ("srv-order.example", None, 8450, "srv-order.example", "srv-order.example"),
        ("plain.example", HOME, 8448, "plain.example", "plain.example"),
        ("six.example", HOME6, 8448, "six.example", "six.example"),
        ("mixed.example", HOME, 8448, "mixed.example", "mixed.example"),
    ],
)
def test_found(
    internet: Internet, server: str, to: str | None, port: int, host: str, sni: str | None
) -> None:
    """Every way of the specification leads there, under the right name; twice, since places are remembered."""
    for _ in range(2):
        answer = internet.rtc.post("/get_token", current(server))
        assert answer.status == 200, (answer.body, internet.rtc.logged())
        hit = internet.hits()[-1]
        assert (hit["port"], hit["host"], hit["sni"]) == (port, host, sni)
        assert hit["to"] in ([to] if to else [HOME, HOME6])


def test_names_without_an_answer_keep_nobody_waiting(internet: Internet) -> None:
    """However many names have a name server that hangs, another homeserver is found at once."""
    links = [internet.rtc.connect() for _ in range(SILENT)]
    for number, link in enumerate(links):
        link.request("POST", "/get_token", json.dumps(current(f"silent{number}.example")))
    began = time.monotonic()
    assert internet.rtc.post("/get_token", current("quick.example")).status == 200
    assert time.monotonic() - began < 3
    for link in links:
        link.close()


@pytest.mark.parametrize(
    "server",
    [
        *(f"in{number}.example" for number in range(len(PRIVATE))),
        *(f"in{number}.example:8448" for number in range(len(PRIVATE))),
        *(f"[{text}]:8448" if ":" in text else f"{text}:8448" for text in PRIVATE),
        *(f"[{text}]" if ":" in text else text for text in PRIVATE),
        *(
            "localhost",
            "localhost:8448",
            "[::ffff:127.0.0.1]:8448",
            "[::ffff:a00:1]:8448",
            "[::10.0.0.1]:8448",
        ),
        *("127.1:8448", "2130706433:8448", "0x7f000001:8448", "0177.0.0.1:8448", "0:8448", "0.0.0.0:8448"),
        *("[64:ff9b::a00:1]:8448", "[64:ff9b::7f00:1]:8448", "[fe80::1]:8448", "[::]:8448"),
        *("wk-inside.example", "wk-inside6.example", "wk-inside-name.example", "wk-localhost.example"),
        *("wk-to-inside.example", "wk-to-inside6.example", "wk-to-mapped.example", "wk-to-number.example"),
        *("wk-to-short.example", "wk-to-localhost.example", "srv-inside.example", "inside.example"),
    ],
)
def test_nothing_inside_is_reached(internet: Internet, server: str) -> None:
    """No server name makes us open a connection to a private address, whether by name, literal, redirect or record."""
    answer = internet.rtc.post("/get_token", current(server))
    assert (answer.status, answer.json["errcode"]) == (401, "M_UNAUTHORIZED")
    assert [hit for hit in internet.hits() if hit["to"] in PRIVATE] == []


@pytest.mark.parametrize(
    "server",
    [
        *("wk-http.example", "wk-loop.example", "wk-huge.example", "wk-nonsense.example", "srv-none.example"),
        *("cname-loop.example", "loop.example", "nowhere.example", "othercert.example", "direct.example:1"),
    ],
)
def test_not_found(internet: Internet, server: str) -> None:
    """Redirects without end or away from TLS, huge and wrong files, loops, a wrong certificate: refused."""
    before = [hit for hit in internet.hits() if hit["path"].startswith(homeservers.USERINFO)]
    assert internet.rtc.post("/get_token", current(server)).status == 401
    after = [hit for hit in internet.hits() if hit["path"].startswith(homeservers.USERINFO)]
    assert after == before


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ("10.0.0.1", "a private address, which SAMSESH_RTC_ALLOW_PRIVATE does not name"),
        ("inside.example", "a private address, which SAMSESH_RTC_ALLOW_PRIVATE does not name"),
        ("nowhere.example", "its name is not known"),
        ("othercert.example", "its certificate is not right"),
        ("direct.example:1", "connection refused"),
    ],
)
def test_the_log_says_why(internet: Internet, server: str, why: str) -> None:
    """An operator can see what went wrong with which server, while the stranger hears nothing of it."""
    internet.rtc.post("/get_token", current(server))
    lines = [json.loads(line) for line in internet.rtc.logged().splitlines()]
    last = [line for line in lines if line["event"] == "unverified"][-1]
    assert (last["server"], last["reason"]) == (server, f"the homeserver cannot be reached: {why}")


def test_redirects_end(internet: Internet) -> None:
    """A redirect to itself is followed a few times only."""
    count = sum(hit["host"] == "wk-loop.example" for hit in internet.hits())
    internet.rtc.post("/get_token", current("wk-loop.example"))
    found = [hit for hit in internet.hits() if hit["host"] == "wk-loop.example"]
    assert len(found) - count <= 6 and len(found) <= 12


def test_userinfo_does_not_lead_inside(internet: Internet) -> None:
    """A homeserver that answers userinfo with a redirect is not followed anywhere."""
    token = "to:https://10.0.0.1:8448/_matrix/federation/v1/openid/userinfo"
    assert internet.rtc.post("/get_token", current("plain.example", token=token)).status == 401
    assert [hit for hit in internet.hits() if hit["to"] in PRIVATE] == []


def test_delegation_by_well_known(internet: Internet) -> None:
    """Delegation finds the client-server API by .well-known/matrix/client, and has the leave sent there."""
    body = current(FULL, delay_id="a/../b", delay_timeout=500)
    assert internet.rtc.post("/delegate_delayed_leave", body).status == 200
    wait_for(internet.posts, "the leave is sent")
    hit = internet.posts()[0]
    assert hit["path"] == "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/a%2F..%2Fb/send"
    assert (hit["host"], hit["sni"], hit["forwarded"]) == ("hs.example:8449", "hs.example", None)


def test_delegation_does_not_lead_inside(internet: Internet) -> None:
    """A client-server API that is said to be on a private address is not reached."""
    answer = internet.rtc.post("/delegate_delayed_leave", current(INSIDE, delay_id="x", delay_timeout=500))
    assert answer.status == 200
    wait_for(lambda: "own timer is up" in internet.rtc.logged(), "the job is given up")
    assert [hit for hit in internet.hits() if hit["to"] in PRIVATE] == []


def test_allowed_networks(authority: Authority, tmp_path: Path) -> None:
    """Private networks are reached where the settings allow them, and no others: so the tests above tell something."""
    internet = make(authority, tmp_path, SAMSESH_RTC_ALLOW_PRIVATE="10.0.0.0/8, fd00:ec2::/32")
    try:
        for server in (
            "in0.example",
            "10.0.0.1",
            "[fd00:ec2::254]",
            "wk-to-inside.example",
            "inside.example",
        ):
            assert internet.rtc.post("/get_token", current(server)).status == 200, server
        for server in ("in1.example", "192.168.1.1:8448", "localhost"):
            assert internet.rtc.post("/get_token", current(server)).status == 401
    finally:
        internet.rtc.stop()


def test_upstreams_variable_lifts_the_guard(authority: Authority, tmp_path: Path) -> None:
    """LIVEKIT_INSECURE_SKIP_VERIFY_TLS: any certificate, any address, as upstream's own tests need."""
    internet = make(
        authority,
        tmp_path,
        LIVEKIT_INSECURE_SKIP_VERIFY_TLS="YES_I_KNOW_WHAT_I_AM_DOING",
        SSL_CERT_FILE="/dev/null",
    )
    try:
        for server in ("127.0.0.1", "othercert.example", "localhost:8448", "[::1]"):
            assert internet.rtc.post("/get_token", current(server)).status == 200, server
    finally:
        internet.rtc.stop()
