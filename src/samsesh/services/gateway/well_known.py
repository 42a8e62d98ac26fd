"""Discovery documents (spec: Client-Server API, "Server Discovery"; Server-Server API, "Server discovery")."""

from typing import Any

from samsesh.formats import to_json
from samsesh.model import Context, Offer, Route
from samsesh.settings import Settings

LISTENERS = ("api", "web", "domain")


def well_known(context: Context, offer: Offer) -> tuple[Route, ...]:
    """Routes of the documents, wherever clients and servers look for them."""
    documents = {
        "client": offer.well_known_client,
        "server": offer.well_known_server,
        "support": support(context.settings),
    }
    headers = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, OPTIONS",
        "Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization",
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
    }
    kept = {**headers, "Cache-Control": "public, max-age=3600"}
    absent = '{"errcode":"M_NOT_FOUND","error":"Not published by this server"}'
    # Who opens the bare domain looks for the chat.
    to_web = {"Location": context.access.url("web")}
    routes = [Route("domain", answer=(302, ""), headers=to_web, order=90)]
    for listener in LISTENERS:
        for name, document in documents.items():
            paths = (f"/.well-known/matrix/{name}",)
            if document:
                body = to_json(document).decode()
                routes.append(Route(listener, paths, answer=(200, body), headers=kept, order=5))
            else:
                routes.append(Route(listener, paths, answer=(404, absent), headers=headers, order=5))
        # Clients ask for more than there is, and read a page as a broken answer.
        routes.append(Route(listener, ("/.well-known/*",), answer=(404, absent), headers=headers, order=6))
    return tuple(routes)


def support(settings: Settings) -> dict[str, Any]:
    """MSC1929 (spec v1.10): whom to ask for help; empty where it is not published."""
    wanted = settings.support
    if not wanted.publish:
        return {}
    admin = f"@{settings.admin.name}:{settings.server.name}"
    contact = {"role": "m.role.admin", "matrix_id": wanted.matrix_id or admin}
    if wanted.email:
        contact["email_address"] = wanted.email
    return {"contacts": [contact], **({"support_page": wanted.page} if wanted.page else {})}
