"""`samsesh rtc-auth`: the MatrixRTC authorization service, in place of Element's lk-jwt-service."""

import os


def rtc_auth(check: bool = False) -> None:
    """Run the MatrixRTC authorization service, for Element Call on LiveKit.

    It takes the place of lk-jwt-service and is told by variables alone; no home and no settings file is needed.
    With --check it reads them, says what is wrong, and ends.

    \b
    LIVEKIT_URL  where browsers reach LiveKit: wss://livekit.example.org (required)
    LIVEKIT_KEY, LIVEKIT_SECRET  LiveKit's API key and secret (required)
    LIVEKIT_KEY_FROM_FILE, LIVEKIT_SECRET_FROM_FILE  files with them instead
    LIVEKIT_KEY_FILE  one file with key:secret instead
    LIVEKIT_FULL_ACCESS_HOMESERVERS  whose users may start calls: names with commas, or * (required)
    LIVEKIT_JWT_BIND  where to listen: :8080 (default), 127.0.0.1:8080, unix:/path
    LIVEKIT_JWT_PORT  the port alone, as older versions had it
    LIVEKIT_CS_API_URL_OVERRIDES  client-server APIs that are not found by themselves: name=url,name=url
    LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS  between looks whether somebody is still in the call; default: 60
    LIVEKIT_REDIS_URL  keep delegated leaves in Redis
    LIVEKIT_LOG_LEVEL  debug, info (default), warn, error
    LIVEKIT_INSECURE_SKIP_VERIFY_TLS  YES_I_KNOW_WHAT_I_AM_DOING: any certificate, any address; for tests

    Ours, none of them needed:

    \b
    SAMSESH_RTC_STRICT  yes: delegation only once webhooks came, rate limits, /metrics, /readyz. The limits are for each
      client's address; behind a proxy listen on a unix socket: only there its X-Forwarded-For counts
    SAMSESH_RTC_WEBHOOK_BIND  where LiveKit's webhooks are taken, too, and nothing else: 127.0.0.1:8081
    SAMSESH_RTC_MEMBERS  unix:/path where the homeserver says who is in a room; without it anybody may join its call
    SAMSESH_RTC_MEMBERS_KEY_FILE  a file with the key for that
    SAMSESH_RTC_HOMESERVER  server name of your own homeserver, which is asked directly
    SAMSESH_RTC_HOMESERVER_URL  where: http(s)://host:port or unix:/path
    SAMSESH_RTC_LIVEKIT_API_URL  where this service reaches LiveKit, if not at LIVEKIT_URL
    SAMSESH_RTC_ALLOW_PRIVATE  private networks where homeservers may be: 10.1.0.0/16,fd12::/32
    SAMSESH_RTC_CA  a file of certificates (PEM) that homeservers may have, beside those that the system trusts
    SAMSESH_RTC_ALLOW_HOMESERVERS  users of these alone may come: names with commas
    SAMSESH_RTC_DENY_HOMESERVERS  users of these may not
    SAMSESH_RTC_STATE  a file (SQLite) that keeps delegated leaves
    SAMSESH_RTC_UPDATE_OWN_METADATA  yes or no: the grant canUpdateOwnMetadata; default: yes
    SAMSESH_RTC_ONLY_FULL_ACCESS_PUBLISH  yes: users of other homeservers listen only
    """
    from samsesh.rtc.config import read

    config = read(os.environ)
    if check:
        return
    from samsesh.rtc.serve import serve

    serve(config)
