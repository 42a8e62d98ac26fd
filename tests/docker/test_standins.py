"""The stand-ins do as upstream's images, with another user, a read-only root, no capabilities, no new privileges.

What this shows of upstream's own images is only what their Dockerfiles promise: the stand-ins follow those.
"""

import json
import os
from pathlib import Path

import pytest

from docker.containers import LOW_PORTS, USER, mount, once, started, tmpfs
from docker.engine import Engine
from docker.images import STAND_INS
from samsesh.engines.compose.images import table

pytestmark = pytest.mark.slow
Images = dict[str, str]


def config(engine: Engine, image: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(
        engine.run("image", "inspect", "--format", "{{json .Config}}", image).stdout
    )
    return found


def test_every_image_is_there(engine: Engine, images: Images) -> None:
    """Of every image in the table there is one, under its name, with upstream's user, entrypoint and stop signal."""
    assert {row.name for row in table()} == set(images)
    assert {found.name for found in STAND_INS} == set(images) - {"samsesh"}
    expected = {
        "synapse": ("", ["/start.py"], None),
        "postgres": ("", ["docker-entrypoint.sh"], "SIGINT"),
        "caddy": ("", None, None),
        "element-web": ("nginx", ["/docker-entrypoint.sh"], "SIGQUIT"),
        "element-call": ("101", ["/docker-entrypoint.sh"], "SIGQUIT"),
        "livekit": ("", ["/livekit-server"], None),
        "coturn": ("nobody:nogroup", ["docker-entrypoint.sh"], None),
        "samsesh": ("991:991", ["python", "-m", "samsesh"], None),
    }
    for name, wanted in expected.items():
        found = config(engine, images[name])
        seen = (found.get("User", ""), found.get("Entrypoint"), found.get("StopSignal"))
        assert seen == wanted, name


def test_synapse(engine: Engine, images: Images, tmp_path: Path) -> None:
    """start.py execs Python with what it is given, as the user that it runs as, with jemalloc; curl is there."""
    data = tmp_path / "data"
    data.mkdir()
    settings = {
        "server_name": "synapse.test",
        "report_stats": False,
        "signing_key_path": "/data/signing.key",
        "trusted_key_servers": [],
        "database": {"name": "sqlite3", "args": {"database": "/data/homeserver.db"}},
        "media_store_path": "/data/media",
        "macaroon_secret_key": "of a test",
        "listeners": [{"port": 8008, "type": "http", "resources": [{"names": ["client"]}]}],
    }
    (data / "homeserver.yaml").write_text(json.dumps(settings))
    if os.geteuid() == 0:
        for path in (data, *data.iterdir()):
            os.chown(path, USER, USER)
    options = ("--volume", f"{data}:/data", *tmpfs("/tmp"))
    command = ("run", "-m", "synapse.app.homeserver", "--config-path", "/data/homeserver.yaml")
    once(engine, images["synapse"], *command, "--generate-keys", options=options)
    with started(engine, images["synapse"], *command, options=options) as synapse:
        assert synapse.until("curl", "-fSs", "http://localhost:8008/health") == "OK"
        assert f"\nUid:\t{USER}\t" in synapse.exec("cat", "/proc/1/status").stdout
        assert "libjemalloc" in synapse.exec("cat", "/proc/1/maps").stdout
    refused = once(engine, images["synapse"], "strange", check=False)
    assert "Unknown execution mode" in refused.stderr


def test_postgres(engine: Engine, images: Images, tmp_path: Path) -> None:
    """The first start makes user and database and runs the scripts, unreachable meanwhile; the next finds them."""
    password = mount(tmp_path / "password", "/run/secrets/password", "a test's\n")
    script = mount(
        tmp_path / "1.sql", "/docker-entrypoint-initdb.d/1.sql", "CREATE TABLE made (); SELECT pg_sleep(1);"
    )
    data = tmp_path / "data"
    data.mkdir()
    if os.geteuid() == 0:
        os.chown(data, USER, USER)
    options = (
        *(*password, *script, "--volume", f"{data}:/var/lib/postgresql"),
        *tmpfs("/tmp", "/var/run/postgresql"),
        *("--env", "POSTGRES_PASSWORD_FILE=/run/secrets/password", "--env", "POSTGRES_USER=synapse"),
        *("--env", "POSTGRES_DB=messages", "--env", "POSTGRES_INITDB_ARGS=--encoding=UTF8 --locale=C"),
    )
    ready = ("pg_isready", "--host", "127.0.0.1", "--username", "synapse", "--dbname", "messages")
    ask = "SELECT datcollate, (SELECT count(*) FROM made) FROM pg_database WHERE datname = current_database()"
    query = (
        "psql",
        "--username",
        "synapse",
        "--dbname",
        "messages",
        "--tuples-only",
        "--no-align",
        "-c",
        ask,
    )
    for first in (True, False):
        with started(engine, images["postgres"], options=options) as postgres:
            postgres.until(*ready)
            assert postgres.exec(*query).stdout == "C|0\n"
            assert ("init process complete" in postgres.logs()) is first
            engine.run("stop", postgres.name)
            assert postgres.state("ExitCode") == "0"
            assert "database system is shut down" in postgres.logs()
    assert (data / "18/docker/PG_VERSION").read_text() == "18\n"
    refused = once(engine, images["postgres"], options=tmpfs("/var/lib/postgresql"), check=False)
    assert refused.returncode and "superuser password is not specified" in refused.stderr


def test_caddy(engine: Engine, images: Images) -> None:
    """It serves port 80 with the one capability, and without it does not even start."""
    options = tmpfs("/data", "/config")
    with started(engine, images["caddy"], options=(*LOW_PORTS, *options)) as caddy:
        assert caddy.until("wget", "-qO-", "http://127.0.0.1:2019/config/")
    without = engine.run(
        "run", "--rm", "--cap-drop", "ALL", "--network", "none", images["caddy"], check=False
    )
    assert without.returncode and "operation not permitted" in without.stderr.lower()


def test_livekit(engine: Engine, images: Images, tmp_path: Path) -> None:
    """It takes `--config FILE` and answers on 7880; there is busybox's wget, and no curl."""
    settings = "port: 7880\nkeys:\n  devices: 0123456789abcdef0123456789abcdef\nrtc:\n  node_ip: 127.0.0.1\n"
    options = mount(tmp_path / "livekit.yaml", "/livekit.yaml", settings)
    with started(engine, images["livekit"], "--config", "/livekit.yaml", options=options) as livekit:
        assert livekit.until("wget", "-qO-", "http://127.0.0.1:7880/") == "OK"
        assert livekit.exec("sh", "-c", "command -v curl", check=False).returncode


def test_coturn(engine: Engine, images: Images, tmp_path: Path) -> None:
    """It relays with the one capability, answers turnutils, and without the capability does not even start."""
    settings = (
        "listening-port=3478\nlistening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nrealm=turn.test\nlog-file=stdout\n"
    )
    options = (*mount(tmp_path / "conf", "/turnserver.conf", settings), *tmpfs("/var/lib/coturn", "/tmp"))
    command = ("-c", "/turnserver.conf", "--pidfile", "/tmp/pid")
    with started(engine, images["coturn"], *command, options=(*LOW_PORTS, *options)) as coturn:
        said = coturn.until("turnutils_stunclient", "-p", "3478", "127.0.0.1")
        assert "reflexive addr" in said
    refused = once(engine, images["coturn"], *command, options=options, check=False)
    assert refused.returncode and "permitted" in refused.stderr


def test_element_web(engine: Engine, images: Images, tmp_path: Path) -> None:
    """It serves the given config.json at the given port, and needs three folders that it can write."""
    settings = mount(tmp_path / "config.json", "/app/config.json", '{"brand": "A test"}')
    folders = tmpfs("/tmp", "/var/cache/nginx", "/etc/nginx/conf.d")
    options = ("--env", "ELEMENT_WEB_PORT=8080", *settings)
    with started(engine, images["element-web"], options=(*options, *folders)) as web:
        assert web.until("wget", "-qO-", "http://127.0.0.1:8080/config.json") == '{"brand": "A test"}'
        headers = web.exec("wget", "-S", "-qO-", "http://127.0.0.1:8080/").stderr
        assert "Cache-Control: no-cache" in headers
        assert "nginx" in web.exec("cat", "/proc/1/cmdline").stdout
    with started(engine, images["element-web"], options=(*options, *folders[:4])) as web:
        web.until("wget", "-qO-", "http://127.0.0.1:80/")  # its template could not be filled in
        assert "is not writable" in web.logs()


def test_element_call(engine: Engine, images: Images, tmp_path: Path) -> None:
    """The real pages at 8080, every path the page, with the given config.json."""
    settings = mount(tmp_path / "config.json", "/app/config.json", "{}")
    with started(engine, images["element-call"], options=(*settings, *tmpfs("/tmp"))) as call:
        assert call.until("wget", "-qO-", "http://127.0.0.1:8080/config.json") == "{}"
        assert "<script" in call.exec("wget", "-qO-", "http://127.0.0.1:8080/room/of-a-test").stdout
