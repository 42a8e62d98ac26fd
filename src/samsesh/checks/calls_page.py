"""Element Call: its page, its configuration, its scripts, and the links that people share."""

import re

from samsesh import caller
from samsesh.diagnosis import Patient, Result

TITLE = "the page for calls"
SCRIPT = re.compile(r'<script[^>]+src="(?:\./|/)?(assets/[^"]+\.js)"')
ADVICE = "write it anew: samsesh up; a proxy before the server must pass this address on whole"


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := caller.calls_off(server) or caller.part_off(server, "call-page"):
        return off
    await patient.need("gateway")
    base, page = server.plan.offer.addresses["call"].rstrip("/"), await caller.browser(patient)
    index = await page.ask("GET", f"{base}/")
    script = SCRIPT.search(index.text)
    if index.status != 200 or not script:
        return Result("failed", "the page does not come, or has no scripts", seen=str(index), advice=ADVICE)
    asked = ("config.json", script[1], f"room/{script[1]}", "room/")
    answers = [await page.ask("GET", f"{base}/{path}") for path in asked]
    wrong = [str(answer) for answer in answers if answer.status != 200]
    if not answers[0].body:
        wrong.append(f"{answers[0].url} is no JSON object")
    wrong += [f"{answer.url} is no script" for answer in answers[1:3] if "javascript" not in answer.kind]
    if wrong:
        return Result("failed", wrong[0], seen="\n".join(wrong), advice=ADVICE)
    return Result("ok", f"{base} gives page, configuration and scripts, by shared links too")
