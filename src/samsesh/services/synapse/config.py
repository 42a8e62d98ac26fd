"""Synapse's homeserver.yaml and log configuration as data.

Names and meanings: Synapse's configuration manual. Values: hardened, ready for calls, and kind to a small server.
"""

from typing import Any

from samsesh import names
from samsesh.model import Context, Endpoint, File, Offer, Turn
from samsesh.networks import SPECIAL_NAT64, SPECIAL_V4, SPECIAL_V6, without
from samsesh.settings import Settings

MB = 1024 * 1024
LOG_BYTES = 20 * MB
LOG_FILES = 5
# Everything that is not the public internet: never fetched for previews, pushes or federation.
PRIVATE_RANGES = [*SPECIAL_V4, *SPECIAL_NAT64, "::/128", "::1/128", *SPECIAL_V6]


# Who was away is asked again after a minute, then ever more seldom: small servers are restarted, and come back.
PATIENCE = {"destination_min_retry_interval": "1m", "destination_max_retry_interval": "1d"}


def homeserver_yaml(context: Context, offer: Offer) -> dict[str, Any]:
    """The whole of homeserver.yaml."""
    settings = context.settings
    ours = {
        **_identity(context),
        **_listeners(context),
        **_database(offer),
        **_accounts(settings),
        **_federation(context),
        **_media(context),
        **_retention(settings),
        **_rates(settings),
        **_calls(context, offer),
        **_turn(context, offer),
        "modules": _modules(context, offer),
        **_memory(context),
        "app_service_config_files": [
            str(context.place.operator_file("synapse.appservices", path))
            for path in settings.synapse.appservices
        ],
        "push": {"include_content": False},
    }
    return names.merge_deeply(ours, settings.extra.synapse)


def _identity(context: Context) -> dict[str, Any]:
    place = context.place
    return {
        "server_name": context.settings.server.name,
        "public_baseurl": context.access.url("api") + "/",
        "report_stats": context.settings.server.report_stats,
        "signing_key_path": str(place.secret("signing_key")),
        "macaroon_secret_key_path": str(place.secret("macaroon_key")),
        "form_secret_path": str(place.secret("form_key")),
        "registration_shared_secret_path": str(place.secret("registration_shared_secret")),
        "log_config": str(place.config("synapse") / "log.yaml"),
    }


def _listeners(context: Context) -> dict[str, Any]:
    # openid answers who a call's token belongs to; it is needed where federation is off, too.
    private = ["client", "openid"]
    public = [*private, "federation"] if context.access.federates else private

    def listener(endpoint: Endpoint, resources: list[str]) -> dict[str, Any]:
        if endpoint.socket:
            where: dict[str, Any] = {"path": str(endpoint.socket), "mode": 0o600}
        else:
            where = {"port": endpoint.port, "bind_addresses": [endpoint.host]}
        return {
            "type": "http",
            **where,
            "x_forwarded": True,
            "resources": [{"names": resources, "compress": False}],
        }

    listen = context.place.listen
    return {"listeners": [listener(listen("synapse"), public), listener(listen("synapse-admin"), private)]}


def _database(offer: Offer) -> dict[str, Any]:
    assert offer.database is not None  # postgres.py always offers one
    keep_alive = {"keepalives_idle": 10, "keepalives_interval": 10, "keepalives_count": 3}
    args = {**offer.database.parameters, "passfile": str(offer.database.passfile.path), **keep_alive}
    return {"database": {"name": "psycopg2", "args": {**args, "cp_min": 5, "cp_max": 10}}}


def _accounts(settings: Settings) -> dict[str, Any]:
    registration = settings.registration
    search_all = settings.directory.search_all_users
    opened = registration.mode == "open"
    # Who made an account on our page is let into Element Web by a token, which costs the password again.
    to_web = registration.mode != "closed" and settings.web.client == "element-web"
    by_token = {"enabled": True, "require_ui_auth": True, "token_timeout": "1m"}
    return {
        **({"login_via_existing_session": by_token} if to_web else {}),
        "enable_registration": registration.mode != "closed",
        "registration_requires_token": registration.mode == "token",
        "enable_registration_without_verification": opened,
        "password_config": {"policy": {"enabled": True, "minimum_length": registration.password_min_length}},
        "auto_join_rooms": registration.auto_join_rooms,
        "allow_guest_access": False,
        "user_directory": {
            "enabled": True,
            "search_all_users": (not opened) if search_all == "auto" else search_all,
            "prefer_local_users": True,
            "exclude_remote_users": not opened,
        },
        # Synapse's own answer is nobody, and a room that was to be public is made without being shown.
        "room_list_publication_rules": [] if opened else [{"action": "allow"}],
        "require_auth_for_profile_requests": True,
        "allow_public_rooms_without_auth": False,
        "encryption_enabled_by_default_for_room_type": "invite",
        "forget_rooms_on_leave": True,
    }


def _federation(context: Context) -> dict[str, Any]:
    """A local server is an island; nobody else's key server is asked in any mode.

    Where other servers are in private networks, only federation goes there: no preview, no push.
    """
    wanted, federates = context.settings.federation, context.access.federates
    allowed = allowed_servers(context.settings) if federates else []
    more: dict[str, Any] = {} if allowed is None else {"federation_domain_whitelist": allowed}
    if federates and wanted.networks:
        more["federation_ip_range_blacklist"] = without(PRIVATE_RANGES, wanted.networks)
    if federates:
        more["federation"] = PATIENCE
    return {
        **more,
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "federation_client_minimum_tls_version": "1.2",
        "allow_public_rooms_over_federation": federates and wanted.room_directory,
        "serve_server_wellknown": False,
        "ip_range_blacklist": PRIVATE_RANGES,
    }


def allowed_servers(settings: Settings) -> list[str] | None:
    """With whom alone this server talks, itself among them; None: with everybody who is not denied."""
    wanted = settings.federation
    if wanted.allow is None:
        return None
    return list(
        dict.fromkeys([settings.server.name, *(one for one in wanted.allow if one not in wanted.deny)])
    )


def authorities(context: Context) -> File | None:
    """For OpenSSL in Synapse: the system's authorities and the operator's.

    Synapse's own `federation_custom_ca_list` would take the place of the system's.
    """
    both = context.place.authorities() if context.access.federates else None
    if both is None:
        return None
    own, system = both
    return File(context.place.config("synapse") / "authorities.pem", system.rstrip() + b"\n" + own)


def _media(context: Context) -> dict[str, Any]:
    media = context.settings.media
    return {
        "media_store_path": str(context.place.data("synapse") / "media"),
        "max_upload_size": names.size(media.upload_size),
        "url_preview_enabled": media.url_previews,
        "url_preview_ip_range_blacklist": PRIVATE_RANGES,
    }


def _retention(settings: Settings) -> dict[str, Any]:
    keep = settings.retention
    media = {"local_media_lifetime": keep.local_media, "remote_media_lifetime": keep.remote_media}
    messages = {"enabled": bool(keep.messages)}
    if keep.messages:
        messages["default_policy"] = {"max_lifetime": keep.messages}  # type: ignore[assignment]
    return {
        "media_retention": {name: value for name, value in media.items() if value},
        "retention": messages,
        "redaction_retention_period": keep.redacted or None,
        "user_ips_max_age": keep.user_ips or None,
    }


def _rates(settings: Settings) -> dict[str, Any]:
    """Synapse's own values stop the sixth colleague behind one address; with open registration they are right."""
    rates = settings.rate_limits
    opened = settings.registration.mode == "open"

    def rate(
        per_second: Any, burst: Any, usual: tuple[float, int], generous: tuple[float, int]
    ) -> dict[str, Any]:
        default = usual if opened else generous
        return {
            "per_second": default[0] if per_second == "auto" else per_second,
            "burst_count": default[1] if burst == "auto" else burst,
        }

    login = rate(rates.login_per_second, rates.login_burst, (0.003, 5), (1.0, 50))
    invite = rate(rates.invite_per_second, rates.invite_burst, (0.003, 5), (0.5, 50))
    return {
        "rc_message": {"per_second": rates.message_per_second, "burst_count": rates.message_burst},
        "rc_login": {"address": login, "account": {"per_second": 0.1, "burst_count": 10}},
        "rc_registration": rate("auto", "auto", (0.17, 3), (1.0, 20)),
        "rc_registration_token_validity": {"per_second": 0.5, "burst_count": 20},
        "rc_room_creation": rate("auto", "auto", (0.016, 10), (0.1, 30)),  # starting a call makes a room, too
        "rc_invites": {"per_user": invite, "per_issuer": {"per_second": 0.5, "burst_count": 50}},
        # Each app in a call restarts its leave every four or five seconds, without a token: they count by address.
        "rc_delayed_event_mgmt": rate("auto", "auto", (1, 20), (50, 200)),
    }


def _calls(context: Context, offer: Offer) -> dict[str, Any]:
    """What MatrixRTC needs of a homeserver (MSC3266, MSC4140, MSC4143, MSC4222), and where this server's SFU is."""
    transport = {"type": "livekit", "livekit_service_url": offer.rtc_service}
    return {
        "experimental_features": {
            "msc3266_enabled": True,
            "msc4143_enabled": bool(offer.rtc_service),  # without transports its answer is read as a failure
            "msc4222_enabled": True,
        },
        "matrix_rtc": {"transports": [transport] if offer.rtc_service else []},
        "max_event_delay_duration": "24h",
    }


def _modules(context: Context, offer: Offer) -> list[dict[str, Any]]:
    """Ours; for calls also while LiveKit is still to come: rooms made until then are to take calls later."""
    settings = context.settings
    own = [f"@{name}:{settings.server.name}" for name in sorted(names.RESERVED)]
    found: list[dict[str, Any]] = [
        {"module": "samsesh.synapse_module.AccountsModule", "config": {"own": own}}
    ]
    if settings.calls.provider == "element-call":
        found.append({"module": "samsesh.synapse_module.CallsModule", "config": {}})
    if offer.members:
        config = {"socket": str(offer.members.socket), "key_path": str(context.place.secret("members_key"))}
        found.append({"module": "samsesh.synapse_module.members.MembersModule", "config": config})
    denied = settings.federation.deny
    if denied and settings.federation.allow is None and context.access.federates:
        found.append({"module": "samsesh.synapse_module.FederationModule", "config": {"deny": denied}})
    return found


def _turn(context: Context, offer: Offer) -> dict[str, Any]:
    if offer.turn is None:
        return {}
    turn = context.settings.turn
    return {
        "turn_uris": list(offer.turn.uris),
        "turn_shared_secret_path": str(turn_secret(context, offer.turn).path),
        "turn_user_lifetime": turn.user_lifetime or "1h",
        "turn_allow_guests": turn.allow_guests,
    }


def turn_secret(context: Context, turn: Turn) -> File:
    """Not the secrets folder's own file: a value from .env counts over it."""
    return File(context.place.config("synapse") / "turn_secret", turn.secret.reveal().encode(), secret=True)


def _memory(context: Context) -> dict[str, Any]:
    caches: dict[str, Any] = {"global_factor": context.settings.synapse.cache_factor}
    if context.facts.jemalloc:  # the tuning reads jemalloc's own numbers
        most = min(context.facts.memory // 8, 2048 * MB)
        caches["cache_autotuning"] = {
            "max_cache_memory_usage": most,
            "target_cache_memory_usage": most * 3 // 4,
            "min_cache_ttl": "5m",
        }
    return {"caches": caches}


def log_config(context: Context) -> dict[str, Any]:
    """Python's logging schema: a rotated file of Synapse's own, and standard error for the engine."""
    path = context.place.logs("synapse") / "homeserver.log"
    return {
        "version": 1,
        "formatters": {
            "precise": {
                "()": "samsesh.synapse_module.Formatter",
                "fmt": "%(asctime)s - %(name)s - %(lineno)d - %(levelname)s - %(request)s - %(message)s",
            }
        },
        "handlers": {
            "file": {
                "class": "logging.handlers.RotatingFileHandler",
                "formatter": "precise",
                "filename": str(path),
                "maxBytes": LOG_BYTES,
                "backupCount": LOG_FILES,
                "encoding": "utf8",
                "delay": True,
            },
            "engine": {"class": "logging.StreamHandler", "formatter": "precise"},
        },
        "loggers": {"synapse.storage.SQL": {"level": "INFO"}},
        "root": {"level": context.settings.synapse.log_level, "handlers": ["file", "engine"]},
        "disable_existing_loggers": False,
    }
