"""Jitsi, the document's alternative for video calls: another server, which clients are told of."""

from samsesh.model import Context, Offer, Route, Unit


def offer(context: Context) -> Offer:
    if context.settings.calls.provider != "jitsi":
        return Offer()
    domain = context.settings.calls.jitsi_domain
    preferred = {"preferredDomain": domain}
    return Offer(
        routes=(Route("call", answer=(302, ""), headers={"Location": f"https://{domain}/"}),),
        well_known_client={"im.vector.riot.jitsi": preferred, "io.element.jitsi": preferred},  # both are read
        addresses={"call": context.access.url("call")},
    )


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    return ()
