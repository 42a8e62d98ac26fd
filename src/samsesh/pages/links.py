"""Links that pages and commands hand out. Pure functions."""

from urllib.parse import quote, urlsplit

# (app, who it is for: a key of the words, ((shop, link), ...)); the classic apps' are the project's from its beginning
APPS = (
    (
        "Element X",
        "apps.recommended",
        (
            ("App Store", "https://apps.apple.com/app/element-x-secure-chat-call/id1631335820"),
            ("Google Play", "https://play.google.com/store/apps/details?id=io.element.android.x"),
            ("F-Droid", "https://f-droid.org/packages/io.element.android.x/"),
        ),
    ),
    (
        "Element Classic",
        "apps.older",
        (
            ("App Store", "https://apps.apple.com/us/app/element-messenger/id1083446067"),
            ("Google Play", "https://play.google.com/store/apps/details?id=im.vector.app&hl=en&gl=US"),
            ("Cafe Bazaar", "https://cafebazaar.ir/app/im.vector.app"),
        ),
    ),
)
CLIENTS = (  # (key of the words, link)
    ("apps.desktop", "https://element.io/download"),
    ("apps.all", "https://matrix.org/ecosystem/clients/"),
)


def invite_link(web_url: str, token: str) -> str:
    """What an invitation opens: the sign-up page, with the registration token."""
    return f"{web_url.rstrip('/')}/register?token={quote(token, safe='')}"


def element_x_link(host: str, user_id: str | None = None) -> str:
    """Opens Element X at the log-in for a server, and a user name where one is given.

    `host` is a server name or a homeserver's URL. Form: the app's own resolver of mobile.element.io links.
    """
    link = f"https://mobile.element.io/element/?account_provider={quote(host, safe=':/')}"
    return link if user_id is None else f"{link}&login_hint=mxid:{quote(user_id, safe='@:')}"


def ssh_line(urls: tuple[str, ...]) -> str:
    """The command by which another machine reaches ports that this one has on its loopback."""
    ports = dict.fromkeys(urlsplit(url).port for url in urls)
    forwards = " ".join(f"-L {port}:localhost:{port}" for port in ports if port)
    return f"ssh {forwards} you@this-machine"
