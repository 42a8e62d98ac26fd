"""What the images of nginx have in common: entrypoint, user 101, templates."""

ENTRYPOINT = """#!/bin/sh
# Runs the scripts of /docker-entrypoint.d in order, then the command.
set -e
if [ "$1" = nginx ]; then
    for script in /docker-entrypoint.d/*.sh; do "$script"; done
fi
exec "$@"
"""
TEMPLATES = """#!/bin/sh
# Fills in the templates, where the folder for them can be written.
set -e
if [ ! -d /etc/nginx/templates ]; then exit 0; fi
if [ ! -w /etc/nginx/conf.d ]; then
    echo "20-envsubst-on-templates.sh: ERROR: /etc/nginx/templates exists, but /etc/nginx/conf.d is not writable"
    exit 0
fi
for template in /etc/nginx/templates/*.template; do
    name=$(basename "$template" .template)
    envsubst "$(env | sed 's/=.*//; s/^/$/')" <"$template" >"/etc/nginx/conf.d/$name"
done
"""


def nginx_conf(temporary: str, pid: str = "/tmp/nginx.pid") -> str:
    """nginx.conf with its temporary files below a folder."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"    {kind}_temp_path {temporary}/{kind.split('_')[0]}_temp;" for kind in kinds)
    return f"""worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid {pid};
events {{
    worker_connections 1024;
}}
http {{
{paths}
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log;
    sendfile on;
    include /etc/nginx/conf.d/*.conf;
}}
"""


# Logs go to the container's own output; what Debian adds, and alpine does not have, is taken away.
DOCKERFILE = """
RUN groupadd --gid 101 --non-unique nginx && useradd --uid 101 --gid 101 --non-unique --no-create-home nginx \\
    && rm -rf /etc/nginx/conf.d/* /etc/nginx/sites-* /etc/nginx/modules-* /usr/bin/curl /usr/bin/python3* \\
    && ln -s /bin/busybox /usr/bin/wget && mkdir -p /var/cache/nginx /docker-entrypoint.d \\
    && ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log
COPY docker-entrypoint.sh /docker-entrypoint.sh
COPY 20-envsubst-on-templates.sh /docker-entrypoint.d/
COPY nginx.conf /etc/nginx/nginx.conf
ENTRYPOINT ["/docker-entrypoint.sh"]
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
"""
FILES = {"docker-entrypoint.sh": ENTRYPOINT, "20-envsubst-on-templates.sh": TEMPLATES}
