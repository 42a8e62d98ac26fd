"""Names and tokens of LiveKit: rooms and identities derived from Matrix (MSC4195), JWTs made and verified."""

import hmac
import json
import time
from base64 import b64encode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

from samsesh.rtc.bodies import Asked
from samsesh.rtc.config import Config

JOIN_SECONDS = 3600
SERVICE_SECONDS = 600  # LiveKit's own SDKs give their requests ten minutes
LEEWAY = 60


def _segment(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


HEADER = _segment(b'{"alg":"HS256","typ":"JWT"}')


def derived(*parts: str) -> str:
    """Unpadded base64 of the SHA-256 of the canonical JSON list of these texts."""
    canonical = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    return b64encode(sha256(canonical).digest()).rstrip(b"=").decode()


def room_of(asked: Asked) -> str:
    """LiveKit's name of the room."""
    return derived(asked.room, asked.slot)


def identity_of(asked: Asked, user: str) -> str:
    """LiveKit's name of the participant."""
    if asked.member is None:
        return f"{user}:{asked.device}"
    return derived(user, asked.device, asked.member)


class Tokens:
    """Makes and verifies JWTs (HS256) with our key; their JSON is ASCII, since clients decode it with plain atob."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def join(self, room: str, identity: str, *, full_access: bool) -> str:
        """A participant's token for one room."""
        config = self._config
        publish = full_access or not config.only_full_access_publish
        video = {
            "roomJoin": True,
            "room": room,
            "canPublish": publish,
            "canSubscribe": True,
            "canUpdateOwnMetadata": config.update_own_metadata,
        }
        return self._sign({"sub": identity, "video": video}, JOIN_SECONDS)

    def service(self, **video: Any) -> str:
        """A token for one request of ours to LiveKit's room service."""
        return self._sign({"video": video}, SERVICE_SECONDS)

    def _sign(self, claims: dict[str, Any], seconds: int) -> str:
        now = int(time.time())
        whole = {"iss": self._config.key, "nbf": now, "exp": now + seconds, **claims}
        signed = HEADER + b"." + _segment(json.dumps(whole, separators=(",", ":")).encode())
        mac = hmac.digest(self._config.secret.encode(), signed, "sha256")
        return (signed + b"." + _segment(mac)).decode()

    def _claims(self, token: str) -> dict[str, Any]:
        """Of a token with our key's signature that is in force; ValueError otherwise."""
        import jwt  # with all its algorithms: a start does not need it

        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._config.secret,
                ["HS256"],
                issuer=self._config.key,
                leeway=LEEWAY,
                options={"verify_aud": False, "require": ["exp"]},
            )
        except (jwt.InvalidTokenError, RecursionError) as error:
            raise ValueError("no token of ours") from error
        return claims

    def room(self, token: str) -> str:
        """The room of a participant's token; "" where it is none of ours."""
        try:
            video = self._claims(token).get("video")
        except ValueError:
            return ""
        room = video.get("room") if isinstance(video, dict) else ""
        return room if isinstance(room, str) else ""

    def webhook(self, authorization: str, body: bytes) -> dict[str, Any] | None:
        """The event of a webhook that LiveKit signed with our key, lately and for this body; else None."""
        try:
            claims = self._claims(authorization)
            signed = str(claims.get("sha256", "")).encode()
            if not hmac.compare_digest(signed, b64encode(sha256(body).digest())):
                return None
            event = json.loads(body)
        except (ValueError, RecursionError):
            return None
        return event if isinstance(event, dict) else None
