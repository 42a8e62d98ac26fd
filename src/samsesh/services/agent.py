"""The agent: hands certificates on to coturn, has the gateway load the operator's files again when they change, and has
an unpacked coturn renewed.

It is there where it has work. Its configuration: agent/serve.py.
"""

from pathlib import Path
from typing import Any

from samsesh import __version__
from samsesh.formats import to_json
from samsesh.model import Context, File, Offer, Probe, Unit


def offer(context: Context) -> Offer:
    return Offer()


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    place, found, tasks = context.place, jobs(context, offer), daily(context)
    if not found and not tasks:
        return ()
    listen = place.listen("agent")
    config = File(
        place.config("agent") / "agent.json",
        to_json({"socket": str(listen.socket), "jobs": found, **({"daily": tasks} if tasks else {})}),
    )
    return (
        Unit(
            name="agent",
            title="agent",
            command=(place.program("python"), "-I", "-m", "samsesh", "agent", "--config", str(config.path)),
            probe=Probe("http", listen, "/ready", seconds=30),
            files=(config, *_copies(context)),
            folders=(place.data("agent"),),
            shared=(place.data("coturn"),) if any("pidfile" in job for job in found) else (),
            # Beside certificates there is the authority's key, and who has Caddy's socket has the gateway.
            reads=(place.data("gateway"),) if any("storage" in job for job in found) else (),
            sockets=(
                *([listen.socket] if listen.socket else []),
                *(Path(job["admin"]) for job in found if "admin" in job),
            ),
            spare=True,
            stop_seconds=5,
            version=__version__,
            address=str(listen),
        ),
    )


def daily(context: Context) -> list[dict[str, Any]]:
    """Fields of agent/daily.Daily: nobody but us renews a coturn that was unpacked, which needs libraries of its own."""
    if not context.settings.turn.enabled or "turnserver" not in context.facts.environments:
        return []
    folder = Path(context.facts.programs["turnserver"]).parent
    home = context.place.config("agent").parents[
        1
    ]  # containers unpack nothing, so its folders are the home's
    command = ["-I", "-m", "samsesh", "--home", str(home), "renew-relay", "--cache", str(folder.parent)]
    task = {
        "name": "comparing the relay with the distribution's",
        "command": [context.place.program("python"), *command],
        "stamp": str(folder.with_name(f"{folder.name}.packages")),
    }
    return [task]


def jobs(context: Context, offer: Offer) -> list[dict[str, Any]]:
    """What there is to do: fields of agent/jobs.Job."""
    access, tls, turn = context.access, context.settings.tls, offer.turn
    if access.mode == "local":
        return []
    found: list[dict[str, Any]] = []
    own = _pair(context, "tls.certificate", tls.certificate, tls.certificate_key)
    if own:
        copy = str(context.place.operator_file("tls.certificate", tls.certificate))
        more = {"copy": copy} if copy != own["certificate"] else {}
        admin = str(context.place.reach("caddy").socket)
        found.append({"name": "gateway", **own, **more, "admin": admin})
    if turn is not None and turn.tls_port is not None:
        where = {**_for_turn(context, own), "copy": str(turn.certificate)}
        found.append({"name": "coturn", "pidfile": str(turn.pidfile), **where})
    return [{"host": access.host("api"), **job} for job in found]


def _for_turn(context: Context, own: dict[str, str]) -> dict[str, Any]:
    """Where the relay's certificate is."""
    turn, access = context.settings.turn, context.access
    pair = _pair(context, "turn.certificate", turn.certificate, turn.certificate_key)
    if pair or own:
        return pair or own
    return {"storage": str(context.place.data("gateway")), "own": access.certificates == "internal"}


def _pair(context: Context, setting: str, certificate: str, key: str) -> dict[str, str]:
    """Where the operator's files are to be watched: themselves, or in containers their copy, which has both."""
    if context.place.content(setting) is None:
        return {}
    copy, source = context.place.operator_file(setting, certificate), context.place.source
    return {"certificate": str(source(certificate) or copy), "key": str(source(key) or copy)}


def _copies(context: Context) -> tuple[File, ...]:
    """What it watches in containers."""
    if not context.place.apart:
        return ()
    return (*context.named_files("tls.certificate"), *context.named_files("turn.certificate"))
