"""Keys of Synapse's homeserver.yaml behind which a setting of ours stands. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

# [extra.synapse] must not pull these from under us: other parts of the platform follow our setting, not Synapse's key.
# Without a setting: where the home is, its secrets, and what keeps us from running Synapse or logging in ourselves.
OWNED = {
    "server_name": "server.name",
    "public_baseurl": "server.access",
    "listeners": "ports.api",
    "database": "database.url",
    "databases": "database.url",
    "log_config": "synapse.log_level",
    "report_stats": "server.report_stats",
    "media_store_path": "",
    "pid_file": "",
    "daemonize": "",
    "password_config.enabled": "",
    "password_config.localdb_enabled": "",
    "matrix_authentication_service": "",
    "experimental_features.msc3861": "",
    "signing_key": "",
    "signing_key_path": "",
    "registration_shared_secret": "",
    "registration_shared_secret_path": "",
    "macaroon_secret_key": "",
    "macaroon_secret_key_path": "",
    "form_secret": "",
    "form_secret_path": "",
    # The gateway has a limit, too; pages say who may sign up; files are carried into containers and backups.
    "max_upload_size": "media.upload_size",
    "enable_registration": "registration.mode",
    "registration_requires_token": "registration.mode",
    "auto_join_rooms": "registration.auto_join_rooms",
    "app_service_config_files": "synapse.appservices",
    "url_preview_enabled": "media.url_previews",
    "federation_domain_whitelist": "federation.allow",
}
# These count over our setting, and who sets both is told so.
SHADOWING = {
    "enable_registration_without_verification": "registration.mode",
    "password_config.policy.minimum_length": "registration.password_min_length",
    "user_directory.search_all_users": "directory.search_all_users",
    "allow_public_rooms_over_federation": "federation.room_directory",
    "federation_ip_range_blacklist": "federation.networks",
    "rc_message.per_second": "rate_limits.message_per_second",
    "rc_message.burst_count": "rate_limits.message_burst",
    "rc_login.address.per_second": "rate_limits.login_per_second",
    "rc_login.address.burst_count": "rate_limits.login_burst",
    "rc_invites.per_user.per_second": "rate_limits.invite_per_second",
    "rc_invites.per_user.burst_count": "rate_limits.invite_burst",
    "retention.enabled": "retention.messages",
    "retention.default_policy.max_lifetime": "retention.messages",
    "media_retention.local_media_lifetime": "retention.local_media",
    "media_retention.remote_media_lifetime": "retention.remote_media",
    "redaction_retention_period": "retention.redacted",
    "user_ips_max_age": "retention.user_ips",
    "turn_uris": "turn.enabled",
    "turn_shared_secret": "turn.enabled",
    "turn_shared_secret_path": "turn.enabled",
    "turn_user_lifetime": "turn.user_lifetime",
    "turn_allow_guests": "turn.allow_guests",
    "matrix_rtc.transports": "calls.provider",
    "caches.global_factor": "synapse.cache_factor",
}


def shadowing(extra: Mapping[str, Any]) -> list[str]:
    """Sentences for settings in whose place a key of [extra.synapse] counts."""
    given = set(paths(extra))
    return [
        f"extra.synapse.{key} counts in place of {setting}; to have that count: "
        f"samsesh config unset extra.synapse.{key}"
        for key, setting in SHADOWING.items()
        if key in given
    ]


def behind(extra: Mapping[str, Any]) -> dict[str, str]:
    """Synapse's key, with dots for tables in tables -> the setting that it comes from."""
    ours = {key: setting for key, setting in (OWNED | SHADOWING).items() if setting}
    return ours | {path: f"extra.synapse.{path}" for path in paths(extra)}


def paths(table: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Dotted names of all that is in tables within tables, and of these."""
    for key, value in table.items():
        yield above + key
        if isinstance(value, dict):
            yield from paths(value, f"{above}{key}.")
