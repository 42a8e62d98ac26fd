"""Other servers: what `m.server` names answers as this server, with the right certificate and our signing key."""

from collections.abc import Mapping
from typing import Any

import httpx2

from samsesh import names, stranger
from samsesh.diagnosis import Patient, Result

TITLE = "other servers reach this one"
GROUPS = ("public",)


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    target = server.access.federation_server
    if not target:
        return Result("skipped", "federation.enabled is false: this server keeps to itself")
    if not server.access.proxied:
        await patient.need("gateway", "synapse")
    way = await stranger.way(patient)
    trust = stranger.trust(server)
    host = names.split_name(target)[0]
    base = f"https://{target}"
    try:
        async with httpx2.AsyncClient(transport=way.transport(trust), timeout=stranger.SECONDS) as http:
            version = await stranger.ask(http, f"{base}/_matrix/federation/v1/version")
            keys = await stranger.ask(http, f"{base}/_matrix/key/v2/server")
    except httpx2.HTTPError as error:
        why = str(error) or type(error).__name__
        if server.settings.tls.staging:
            return Result("warning", f"other servers do not trust {host}: tls.staging is on", why)
        return Result(
            "failed",
            f"other servers do not reach {target}",
            "\n".join(filter(None, [why, way.told])),
            "see: samsesh doctor --only public-https --only public-ports",
        )
    found = judged(
        target, version, keys, server.settings.server.name, signing_key(server.secrets.signing_key.reveal())
    )
    return Result(found.status, found.summary, "\n".join(filter(None, [found.seen, way.told])), found.advice)


def signing_key(text: str) -> tuple[str, str]:
    """(id, public key) of a key as Synapse's file has it: `ed25519 a_abcd SEED`."""
    from signedjson.key import decode_signing_key_base64, encode_verify_key_base64

    algorithm, version, seed = text.split()[:3]
    key = decode_signing_key_base64(algorithm, version, seed)
    return f"{algorithm}:{version}", encode_verify_key_base64(key.verify_key)


def judged(
    target: str,
    version: tuple[int, Mapping[str, Any]],
    keys: tuple[int, Mapping[str, Any]],
    name: str,
    ours: tuple[str, str],
) -> Result:
    """`version`, `keys`: (HTTP status, answer) of the two questions (spec: Server-Server API)."""
    program = version[1].get("server")
    if version[0] != 200 or not isinstance(program, dict):
        return Result(
            "failed",
            f"{target} does not answer other servers (HTTP status {version[0]})",
            advice="a proxy must pass /_matrix/federation on; see: samsesh logs gateway",
        )
    if keys[0] != 200 or keys[1].get("server_name") != name:
        told = keys[1].get("server_name", f"HTTP status {keys[0]}")
        return Result(
            "failed",
            f"{target} is not {name}, but {told}",
            advice="the name must lead to this server; a proxy must pass /_matrix/key on to it",
        )
    shown = keys[1].get("verify_keys", {})
    key = shown.get(ours[0], {}) if isinstance(shown, dict) else {}
    if not isinstance(key, dict) or key.get("key") != ours[1]:
        return Result(
            "failed",
            f"{target} answers as {name}, with another signing key than ours ({ours[0]})",
            seen=", ".join(shown) if isinstance(shown, dict) else "",
            advice="only one server may have a name: stop the other, or restore this one's secrets from a backup",
        )
    return Result(
        "ok", f"{target} answers as {name}, {program.get('name')} {program.get('version')}, key {ours[0]}"
    )
