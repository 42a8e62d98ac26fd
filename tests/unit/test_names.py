"""Grammars: what the Matrix specification and the programs behind take as a name, a size or a time."""

from contextlib import suppress
from zoneinfo import available_timezones

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from synapse.config._base import Config
from synapse.types import UserID
from synapse.util.stringutils import parse_and_validate_server_name

from samsesh import database_url, names, networks

# The examples of the specification (appendices, "Server Name"), and what lies just beside them.
SERVER_NAMES = [
    *(
        "matrix.org",
        "matrix.org:8888",
        "1.2.3.4",
        "1.2.3.4:1234",
        "[1234:5678::abcd]",
        "[1234:5678::abcd]:5678",
    ),
    *(
        "localhost",
        "a",
        "xn--bcher-kva.example",
        "1-2.example",
        "3com.example",
        "a" * 63 + ".org",
        "x:1",
        "x:65535",
    ),
]
NO_SERVER_NAMES = [
    *(
        "",
        " ",
        "Example.org",
        "https://example.org",
        "example.org/",
        "example.org:",
        "example.org:0",
        "example.org:65536",
    ),
    *(
        "example.org:80a",
        "example..org",
        ".org",
        "org.",
        "-a.org",
        "a-.org",
        "a_b.org",
        "bücher.example",
        "1.2.3.4.5",
    ),
    *(
        "1.2.3",
        "256.1.1.1",
        "1.2.3.4444",
        "::1",
        "[::1",
        "[::1]x",
        "[::1]:",
        "[::g]",
        "a b.org",
        "a\n",
        "a\x00",
        "a:\u0661",
        "[fe80::1%eth0]",
    ),
    *("@a:b", "a:1:2", "a" * 64 + ".org", ".".join(["a" * 60] * 4)),
]


@pytest.mark.parametrize("name", SERVER_NAMES)
def test_server_names_of_the_specification_are_taken(name: str) -> None:
    """Each example of the specification is a server name, here and for Synapse."""
    assert names.server_name(name) == name
    parse_and_validate_server_name(name)


@pytest.mark.parametrize("name", NO_SERVER_NAMES)
def test_what_is_no_server_name_is_refused_with_a_reason(name: str) -> None:
    """What is no server name, or a second spelling of one, is refused in a sentence."""
    with pytest.raises(ValueError, match=r"\w{2,} \w+"):
        names.server_name(name)


@given(st.text() | st.from_regex(r"[a-z0-9.:\[\]-]{1,30}"))
def test_a_server_name_that_is_taken_suits_synapse(text: str) -> None:
    """No name gets through at which Synapse would refuse to start; anything else is a ValueError."""
    try:
        name = names.server_name(text)
    except ValueError:
        return
    parse_and_validate_server_name(name)
    assert len(f"@alice:{name}") <= 255


@pytest.mark.parametrize("name", ["alice", "a.b_c=d/e-f+g", "0", "a_"])
def test_user_names_of_the_specification_are_taken(name: str) -> None:
    """Every character of the specification's grammar may be in a user name."""
    assert names.localpart(name) == name
    assert names.person(name) == name


@pytest.mark.parametrize("name", ["", "Alice", "a b", "ä", "a:b", "@a", "a!", "_bridge", "a\n", "a\x00"])
def test_what_is_no_user_name_is_refused(name: str) -> None:
    """Upper case, other characters and names kept for bridges are refused."""
    with pytest.raises(ValueError, match="name"):
        names.localpart(name)


def test_the_reserved_account_belongs_to_nobody() -> None:
    """The account by which Samsesh works has a valid name, which no person can have."""
    assert names.localpart(names.SERVICE_ACCOUNT)
    with pytest.raises(ValueError, match="Samsesh works"):
        names.person(names.SERVICE_ACCOUNT)


@given(st.from_regex(r"[a-z0-9._=/+-]{1,20}", fullmatch=True))
def test_user_names_suit_synapse(name: str) -> None:
    """What is a user name here is one in Synapse's eyes."""
    assume(not name.startswith("_"))
    assert UserID.is_valid(f"@{names.localpart(name)}:example.org")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3"])
def test_time_zones_are_known_without_the_systems_help(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a minimal machine that has no time zones of its own, ours are there."""
    import zoneinfo

    try:
        zoneinfo.reset_tzpath(to=())
        zoneinfo.ZoneInfo.clear_cache()
        assert names.timezone(zone) == zone
    finally:
        zoneinfo.reset_tzpath()
        zoneinfo.ZoneInfo.clear_cache()


@given(st.text() | st.sampled_from(sorted(available_timezones())).map(str.upper))
def test_what_is_no_time_zone_is_a_value_error(text: str) -> None:
    """Any text is a time zone or refused, paths and empty names among them."""
    for zone in (text, f"../{text}", f"Europe/{text}"):
        with suppress(ValueError):
            names.timezone(zone)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("100M", 104_857_600),
        ("2 GiB", 2**31),
        ("10K", 10_240),
        ("1t", 2**40),
        ("7", 7),
        (7, 7),
        ("50MB", 52_428_800),
    ],
)
def test_sizes(text: str | int, number: int) -> None:
    """Sizes count in powers of 1024, as Synapse's do."""
    assert names.size(text) == number


@given(st.integers(0, 10**6), st.sampled_from("KM"))
def test_sizes_are_synapses(number: int, unit: str) -> None:
    """Where Synapse knows a spelling, it means the same number of bytes; none is longer than any disk."""
    with pytest.raises(ValueError, match="1024G"):
        names.size(f"{number + 1_048_577}M")
    assert names.size(f"{number}{unit}") == Config.parse_size(f"{number}{unit}")


@given(st.integers(0, 10**6), st.sampled_from("smhdwy"))
def test_durations_are_synapses(number: int, unit: str) -> None:
    """A duration is as long as in Synapse; one of more than a century is refused."""
    if Config.parse_duration(f"{number}{unit}") > 100 * Config.parse_duration("1y"):
        with pytest.raises(ValueError, match="100y"):
            names.duration(f"{number}{unit}")
        return
    assert names.duration(f"{number}{unit}") * 1000 == Config.parse_duration(f"{number}{unit}")


@given(st.text())
def test_other_sizes_durations_and_ranges_are_value_errors(text: str) -> None:
    """Any text is what it should be or a ValueError, and no other exception."""
    for grammar in (names.size, names.duration, names.port_range, database_url.parameters, names.room_alias):
        with suppress(ValueError):
            grammar(text)


@pytest.mark.parametrize("text", ["", "7", "d", "7 days", "-7d", "7.5h", "7dd"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A duration has a whole number and one unit."""
    with pytest.raises(ValueError, match="such as '7d'"):
        names.duration(text)


def test_port_ranges() -> None:
    """A range has a lower and a higher port within what there is."""
    assert names.port_range("49160-49200") == (49160, 49200)
    assert names.port_range("1 - 1") == (1, 1)
    for text in ("5", "5-", "-5", "2-1", "0-4", "1-65536", "a-b", "1-2-3"):
        with pytest.raises(ValueError, match="port range"):
            names.port_range(text)


def test_database_urls() -> None:
    """A PostgreSQL URL is taken apart as libpq does it: escapes, ports, further parameters."""
    assert database_url.parameters("postgresql://us%40er:p%2Fw@[::1]:6000/chat?sslmode=require&user=x") == {
        "host": "::1",
        "port": 6000,
        "user": "us@er",
        "password": "p/w",
        "dbname": "chat",
        "sslmode": "require",
    }
    assert database_url.parameters("postgres://a@b/c")["password"] == ""
    assert database_url.parameters("postgres://a@/c?host=/run/postgresql")["host"] == "/run/postgresql"
    for text in (
        "",
        "mysql://a:b@c/d",
        "postgresql://c/d",
        "postgresql://a:b@c",
        "postgresql://a:b@c:x/d",
        "postgresql://[a/b",
    ):
        with pytest.raises(ValueError, match=r"database URL|host"):
            database_url.parameters(text)


def test_database_urls_load_nothing() -> None:
    """libpq loads an engine of OpenSSL that `sslkey` names, by its path, and follows other files of settings: a user of
    the services who could name one would be root where root asks the database for containers."""
    url = "postgresql://a:b@c/d?sslmode=verify-full&sslcert=/x/c.pem&connect_timeout=5&sslkey="
    assert database_url.parameters(f"{url}/x/k.pem")["sslkey"] == "/x/k.pem"
    for more in (
        "/tmp/evil.so:k",
        "%2Ftmp%2Fevil.so%3Ak",
        "/x/k.pem&service=evil",
        "/x/k.pem&passfile=/x/p",
        "/x/k.pem&sslkeylogfile=/x/l",
    ):
        with pytest.raises(ValueError, match="database URL"):
            database_url.parameters(url + more)


def test_tls_of_databases() -> None:
    """What is to be verified says by whose certificate; a mode that libpq or its user's home would refuse is refused."""
    url = "postgresql://a:b@c/d?"
    full = database_url.parameters(f"{url}sslmode=verify-full")
    assert (full["sslmode"], full["sslrootcert"]) == ("verify-full", "system")
    assert database_url.parameters(f"{url}sslrootcert=system")["sslmode"] == "verify-full"
    named = f"{url}sslmode=verify-ca&sslrootcert=ca.pem&sslcert=me.pem&sslkey=%2Fme.key&sslcrl=gone.pem"
    files = {"sslrootcert": "ca.pem", "sslcert": "me.pem", "sslkey": "/me.key", "sslcrl": "gone.pem"}
    assert database_url.files(named) == files
    for wrong in (
        "sslmode=full",
        "sslmode=verify-ca",
        "sslmode=require&sslrootcert=system",
        "sslpassword=hush",
    ):
        with pytest.raises(ValueError, match=r"database URL|verify-full"):
            database_url.parameters(url + wrong)


@pytest.mark.parametrize("alias", ["#welcome:example.org", "#ä b:example.org:8448", "#a:[::1]"])
def test_room_aliases(alias: str) -> None:
    """A room alias has a name and a server name."""
    assert names.room_alias(alias) == alias


@pytest.mark.parametrize(
    "alias", ["", "#", "a:b", "!a:b", "#a", "#:b", "#a:", "#a:B", "#a:b c", "#" + "a" * 250 + ":example.org"]
)
def test_what_is_no_room_alias_is_refused(alias: str) -> None:
    """Synapse would not start with these."""
    with pytest.raises(ValueError, match=r"alias|server name"):
        names.room_alias(alias)


def test_plain_data_is_what_every_format_can_say() -> None:
    """Dates, infinity, nothing at all and endless nesting cannot be passed on to a program."""
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"a": deep}
    good = {"a": [1, 1.5, "x", True, {"b": []}]}
    assert names.plain_data(good) == good
    for bad in (deep, {"a": None}, {"a": [float("inf")]}, {"a": float("nan")}, {"a": b""}):
        with pytest.raises(ValueError, match=r"passed on|too deeply"):
            names.plain_data(bad)


@pytest.mark.parametrize(
    "value", ["0.0.0.0/0", "::/0", "127.0.0.0/8", "127.0.0.1", "169.254.1.0/24", "::1", "fe80::/10"]
)
def test_no_other_server_is_on_this_machine(value: str) -> None:
    """federation.networks opens private networks to what strangers name: never this machine's own, never all of them."""
    with pytest.raises(ValueError, match=r"this machine|every address"):
        networks.outer_network(value)
    assert networks.outer_network("10.1.2.0/24") == "10.1.2.0/24"
