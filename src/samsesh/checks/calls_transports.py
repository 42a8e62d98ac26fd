"""The three ways in which apps find the authorization service, which must all name the same one.

Failure 1: "MISSING_MATRIX_RTC_TRANSPORT", a call button that does nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from samsesh import caller
from samsesh.clients import rtc
from samsesh.diagnosis import Patient, Result

TITLE = "calls are announced"
ADVICE = {
    "transports": "write homeserver.yaml anew: samsesh up; extra.synapse must leave matrix_rtc and msc4143_enabled alone",
    "well-known": "write it anew: samsesh up; a proxy must pass /.well-known/matrix/client on unchanged",
    "Element Call": "write its config.json anew: samsesh up",
}


async def check(patient: Patient) -> Result:
    if off := caller.calls_off(patient.server):
        return replace(off, status="warning") if off.advice else off  # wanted, and not there
    offer = patient.server.plan.offer
    page, base = await caller.browser(patient), offer.addresses["homeserver"].rstrip("/")
    asked = [
        ("transports", await (await caller.person(patient)).transports(), rtc.advertised),
        ("well-known", await page.ask("GET", f"{base}/.well-known/matrix/client"), rtc.well_known),
    ]
    if call := offer.addresses.get("call"):
        answer = await page.ask("GET", f"{call.rstrip('/')}/config.json")
        asked.append(("Element Call", answer, rtc.element_call))
    problems = {
        way: found for way, answer, read in asked if (found := problem(way, answer, read, offer.rtc_service))
    }
    if not problems:
        return Result("ok", f"all {len(asked)} ways lead to {offer.rtc_service}")
    first = next(iter(problems.values()))
    return Result(
        "failed", first, seen="\n".join(problems.values()), advice="\n".join(ADVICE[way] for way in problems)
    )


def problem(way: str, answer: rtc.Answer, read: Callable[[Mapping[str, Any]], list[str]], wanted: str) -> str:
    """What is wrong with one way; empty where nothing is. Element Call reads its own file: that needs no CORS."""
    if answer.status != 200:
        return f"{way}: {answer}"
    if not answer.readable and way != "Element Call":
        return f"{way}: {answer.url} has {rtc.CORS} {len(answer.allowed)} times; web pages cannot read it"
    found = read(answer.body)
    if not found:
        return f"{way}: {answer.url} announces no calls"
    if found[0].rstrip("/") != wanted.rstrip("/"):
        return f"{way}: {answer.url} leads to {found[0]}, not to {wanted}"
    return ""
