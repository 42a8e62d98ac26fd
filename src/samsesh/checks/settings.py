"""What the settings and the running server say of each other, and what is risky among them."""

from samsesh.diagnosis import Patient, Result
from samsesh.ops.server import Server
from samsesh.write import holds

TITLE = "settings"


async def check(patient: Patient) -> Result:
    server = patient.server
    name, made_as = server.settings.server.name, server.home.state().get("server_name")
    if made_as and made_as != name:
        return Result(
            "failed",
            f"server.name is {name}, but this server was made as {made_as}",
            seen="every account and room carries the name",
            advice=f"set it back: samsesh config set server.name {made_as}",
        )
    found = [(warning, "") for warning in server.warnings]
    if server.settings.registration.mode == "open":
        risk = "anybody who reaches this server can make an account (registration.mode is open)"
        found.append((risk, "invite people instead: samsesh config set registration.mode token"))
    running = any(service["state"] == "running" for service in (await patient.status())["services"])
    if running and (units := not_in_force(server)):
        found.append(
            (f"changed settings are not in force yet, for {', '.join(units)}", "apply them: samsesh up")
        )
    if not found:
        return Result("ok", f"{len(server.loaded.sources)} are set, and all are in force")
    first, *more = [warning for warning, _ in found]
    advice = "\n".join(advice for _, advice in found if advice)
    return Result("warning", first, seen="\n".join(more), advice=advice)


def not_in_force(server: Server) -> list[str]:
    """Names of services whose files are not what the settings make of them; secret ones are not looked at."""
    return [
        unit.name
        for unit in server.plan.units
        if any(
            not holds(server.engine.on_host(file.path), file.content)
            for file in unit.files
            if not file.secret
        )
    ]
