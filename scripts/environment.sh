# Where the Python environment of this checkout is and how it is made: for the launcher and the scripts, which set
# $checkout (absolute) and `set -eu` first. POSIX sh; nothing here prints on stdout.
# shellcheck shell=sh source-path=SCRIPTDIR/..
. "${checkout:?}/scripts/trust.sh"

oldest_python=11 # 3.x; the newest is the last one that every locked package has a wheel for
newest_python=14

say() {
    printf 'samsesh: %s\n' "$1" >&2
}

fail() { # fail WHAT HINT [DETAIL]
    printf 'samsesh: %s\n' "$1" >&2
    if [ -n "${3:-}" ]; then printf '%s\n' "$3" | sed 's/^/    /' >&2; fi
    printf '  %s\n' "$2" >&2
    exit 1
}

# locate run|dev: sets $kind, $lock, $parent, $environment, $log, and $code: what the code must be a copy of, or
# nothing where it is used in place. Ends here if somebody else can change the code or the environment.
locate() {
    kind=$1
    know_users
    case $kind in
        dev) lock=$checkout/requirements/dev.lock ;;
        *) if has_native; then lock=$checkout/requirements/native.lock; else lock=$checkout/requirements/base.lock; fi ;;
    esac
    sum=$(printf '%s' "$checkout" | cksum)
    name=${sum%% *}
    shared='' code=''
    if [ "$me" = 0 ] && [ "$(uname -s)" = Linux ]; then
        # The service user must be able to read and run it, and it may not read root's folders.
        shared=yes parent=${SAMSESH_ENV_ROOT:-/opt/samsesh}/$name
    elif [ -w "$checkout/.venv" ] || { [ ! -e "$checkout/.venv" ] && [ -w "$checkout" ]; }; then
        parent=$checkout/.venv
    else
        shared=yes parent=${XDG_DATA_HOME:-${HOME:-/nonexistent}/.local/share}/samsesh-environments/$name
    fi
    true_path "$parent"
    parent=$path
    sum=$(cksum <"$lock")
    environment=$parent/$kind-$name-${sum%% *} log=$parent/log
    suspect_above "$partner" "$checkout" "$environment"
    if [ -z "$suspect" ]; then
        set -- "$checkout/samsesh" "$checkout/scripts" "$checkout/requirements" "$checkout/src"
        if [ "$kind" = dev ]; then set -- "$@" "$checkout/tests" "$checkout/hatch_build.py" "$checkout/pyproject.toml"; fi
        suspect code "$partner" "$@"
        refuse_suspect_code
    else
        suspect_above "$partner" "$checkout"
        refuse_suspect_code
        refuse_suspect_environment
    fi
    if [ -n "$shared" ]; then code=$(fingerprint); fi
}

refuse_suspect_code() {
    case $suspect in
        '') ;;
        '/ belongs to '*) fail "$suspect: this shell is in a sandbox that hides what is root's" \
            "run it outside of that, such as in a terminal that is no part of a Flatpak" ;;
        *' belongs to '*) fail "$suspect, who could change what is run here" \
            "run it as its owner (with sudo as root), or move it to a folder of your own and make it yours: chown -R $(id -un): $checkout" ;;
        *"$checkout"*) fail "$suspect, and so change what is run here" \
            "take that right away (chmod -R go-w $checkout), or move the checkout to a folder that only you can write to" ;;
        *) fail "$suspect, and so change what is run here" \
            "take that right away (chmod go-w), or move the checkout to a folder that only you can write to" ;;
    esac
}

refuse_suspect_environment() {
    suspect_above "$partner" "$environment"
    if [ -z "$suspect" ]; then return; fi
    if [ "$me" = 0 ]; then variable=SAMSESH_ENV_ROOT; else variable=XDG_DATA_HOME; fi
    fail "$suspect, and what is run is to be in $parent" "take that right away, or name a folder that only you can write to: $variable=DIR"
}

has_native() { # whether PostgreSQL, Synapse and Caddy are to be had as Python packages here
    case $(uname -sm) in
        'Linux x86_64' | 'Linux aarch64') getconf GNU_LIBC_VERSION >/dev/null 2>&1 ;;
        *) return 1 ;;
    esac
}

fingerprint() { # names, sizes and times of change of the code
    find "$checkout/src/samsesh" -name __pycache__ -prune -o -type f -exec ls -lnc --full-time {} + | cksum
}

ready() { # whether the environment can be used as it is: the stamp is written last
    made || return 1
    [ -z "$code" ] || [ "$code" = "$(cat "$environment/complete")" ]
}

made() {
    [ -f "$environment/complete" ] && [ -x "$environment/bin/python" ]
}

# Makes the environment, or brings its copy of the code up to date. One process at a time; what was begun and not
# ended does not count. `set -e` must hold here: call it alone, or last in a list.
prepare() {
    trap : INT # so that this shell waits until the other has tidied up
    (
        umask 022
        mkdir -p "$parent" 2>/dev/null || fail "cannot make the folder $parent" "make it writable for this user"
        refuse_suspect_environment # again: somebody else may have been faster
        exec 9>"$parent/.lock"
        wait_for_others
        if ready; then exit 0; fi
        cd / # uv looks for settings and projects in the folder that it is called from, and in all above it
        if ! made; then make_environment; fi
        place_code
        tidy
    )
    trap - INT
}

wait_for_others() { # takes the lock that is open as 9; it goes when the last process that has it open ends
    command -v flock >/dev/null || return 0 # not on macOS
    waited=0
    until flock -n 9; do
        if [ $waited = 0 ]; then say "another start is making the environment; waiting for it"; fi
        waited=$((waited + 1))
        if [ $waited -gt 1200 ]; then fail "it did not end within 20 minutes" "end it, then run this again"; fi
        sleep 1
    done
}

make_environment() {
    trap 'unmake 130' INT
    trap 'unmake 143' TERM HUP
    say "making the environment in $environment (once)"
    rm -rf "$environment"
    heed_own_settings "$parent"
    make_cache
    get_uv
    heed_pip
    choose_python
    if [ -z "$python" ]; then
        say "no Python 3.$oldest_python or newer here: uv gets one"
        python=">=3.$oldest_python,<3.$((newest_python + 1))"
        if [ -n "$shared" ]; then export UV_PYTHON_INSTALL_DIR="$parent/python"; fi
        quietly "$uv" venv --quiet --python-preference only-managed --python "$python" "$environment" ||
            fail "could not get Python 3.$oldest_python or newer" "$(python_hint), then run this again" "$(last_words)"
    else
        quietly "$uv" venv --quiet --python "$python" "$environment" ||
            fail "could not make a Python environment" "see $log" "$(last_words)"
    fi
    say "getting the packages"
    counting "$uv" pip install --python "$environment/bin/python" --require-hashes --no-deps --no-build \
        --compile-bytecode -r "$lock" ||
        fail "could not get the packages" "mend that (mostly it is the connection), then run this again" "$(last_words)"
    if [ "$me" = 0 ]; then
        chmod -R u=rwX,go=rX "$environment" # packages keep the modes that they have in uv's cache
        runs_for_others "$environment/bin/python" >/dev/null ||
            fail "other users cannot run the Python in $environment" "make $parent and the folders above it readable (chmod a+rx)"
    fi
}

# uv trusts what is in its cache, and does not compare checksums again: ours is nobody else's.
make_cache() {
    if [ "$me" = 0 ] && [ -n "$shared" ]; then cache=${parent%/*}/cache; else cache=${XDG_CACHE_HOME:-$HOME/.cache}/samsesh/uv; fi
    if ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
        cache=$parent/cache
        mkdir -p "$cache"
    fi
    is_own "$cache" || fail "$suspect, and packages are to be kept in $cache" "take that right away, or remove that folder"
    chmod 700 "$cache"
    export UV_CACHE_DIR="$cache"
}

unmake() { # after Ctrl-C or the like
    rm -rf "$environment" "$parent/uv.new"
    exit "$1"
}

quietly() {
    "$@" >"$log" 2>&1 </dev/null
}

counting() { # as quietly, of a uv that fetches; a terminal sees how much of it is there
    if [ ! -t 2 ]; then
        quietly "$@"
        return
    fi
    : >"$log"
    {
        ended=0
        "$@" 2>&1 </dev/null || ended=$?
        echo "exit $ended"
    } | count_sizes
}

# Of uv's lines "Downloading NAME (2.1MiB)" and " Downloaded NAME": it writes them for what is larger than a MiB.
count_sizes() { # keeps them as the log, and returns the number behind `exit`, the last line
    sizes=' ' all=0 there=0
    while IFS= read -r line; do
        case $line in
            'exit '*) break ;;
            'Downloading '*MiB\))
                name=${line#Downloading } size=${line##*\(}
                name=${name%% *} size=${size%%[!0-9]*}
                sizes="$sizes$name:$size " all=$((all + size))
                printf '\r  %s of %s MB ' $there $all >&2
                ;;
            ' Downloaded '*)
                name=${line# Downloaded }
                size=${sizes##* "$name":}
                case $sizes in *" $name:"*) there=$((there + ${size%% *})) ;; esac
                printf '\r  %s of %s MB ' $there $all >&2
                ;;
        esac
        printf '%s\n' "$line" >>"$log"
    done
    if [ $all != 0 ]; then printf '\n' >&2; fi
    return "${line#exit }"
}

last_words() {
    tail -n 6 "$log"
}

get_uv() { # sets $uv: the one installed, else the locked one; and $first
    passed_over=''
    first_python
    for uv in "$(command -v uv || true)" "${HOME:-}/.local/bin/uv" "$parent/uv/bin/uv"; do
        if can_be_run "$uv" && "$uv" --no-config --version >/dev/null 2>&1; then return; fi
    done
    if [ -z "$first" ]; then
        fail "there is no Python here that could fetch uv (3.8 or newer, with its whole standard library)" \
            "$(python_hint), or install uv; then run this again" "$passed_over"
    fi
    say "getting uv"
    uv=$parent/uv/bin/uv
    rm -rf "$parent/uv.new" "$parent/uv"
    mkdir -p "$parent"
    quietly wheels fetch "$checkout/requirements/uv.lock" "$parent/uv.new" ||
        fail "could not get uv" "fix that (mostly it is the connection) or install uv, then run this again" "$(last_words)"
    mv "$parent/uv.new" "$parent/uv"
}

first_python() { # sets $first: a Python that can fetch, however old; or nothing
    while read -r first; do
        can_be_run "$first" || continue
        "$first" -I -c 'import sys, ssl, zlib; sys.exit(sys.version_info < (3, 8))' 2>/dev/null && return
    done <<END
$(pythons)
END
    first=''
}

wheels() { # wheels fetch LOCK FOLDER, wheels settings: src/samsesh/wheels.py, which needs nothing but Python
    "$first" -I -B -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); from samsesh.wheels import main; main()' \
        "$checkout/src" "$@"
}

heed_pip() { # uv does not read pip's settings, nor this machine's certificates, by itself
    if [ -z "$first" ]; then return; fi
    settings=$(wheels settings 2>&1) ||
        fail "the settings of pip or uv cannot be read" "correct that, then run this again" "$settings"
    while IFS='=' read -r variable value; do
        if [ -n "$variable" ]; then export "$variable=$value"; fi
    done <<END
$settings
END
}

can_be_run() { # can_be_run PROGRAM: whether it is one, and nobody else can change it; $passed_over says of the last that somebody can
    if [ ! -x "$1" ]; then return 1; fi
    if is_own "$1"; then return; fi
    passed_over="passed over: $suspect"
    return 1
}

pythons() { # every Python on PATH, in the order of liking within each folder, a line each
    (
        IFS=:
        for folder in $PATH; do
            for name in python3 python3.13 python3.12 python3.14 python3.11 python3.10 python3.9 python3.8 python3.7; do
                if [ -x "$folder/$name" ]; then printf '%s\n' "$folder/$name"; fi
            done
        done
    )
}

choose_python() { # sets $python: one that is new enough and, as root, that other users can run; else nothing
    while read -r python; do
        can_be_run "$python" || continue
        "$python" -I -c "import sys; sys.exit(not (3, $oldest_python) <= sys.version_info[:2] <= (3, $newest_python))" \
            2>/dev/null || continue
        if [ "$me" != 0 ]; then return; fi
        python=$(runs_for_others "$python") && can_be_run "$python" && return
    done <<END
$(pythons)
END
    python=''
}

runs_for_others() { # runs_for_others PYTHON: prints its true path where a user without rights can run it
    (cd / && "$1" -I -c '
import os, sys
python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.execv(python, [python, "-I", "-c", "import ctypes, ssl, sqlite3; print(%r)" % python])' 2>/dev/null)
}

place_code() { # into the environment, as a copy that other users can read, or as a pointer to this checkout
    for site in "$environment"/lib/python3.*/site-packages; do :; done
    if [ -z "$code" ]; then
        printf '%s\n' "$checkout/src" >"$site/samsesh.pth"
    else
        rm -rf "$site/samsesh.new" "$site/samsesh.old"
        cp -RP "$checkout/src/samsesh" "$site/samsesh.new"
        find "$site/samsesh.new" -name __pycache__ -prune -exec rm -rf {} +
        "$environment/bin/python" -I -m compileall -q -s "$site/samsesh.new" -p "$site/samsesh" "$site/samsesh.new" >&2
        chmod -R u=rwX,go=rX "$site/samsesh.new"
        if [ -d "$site/samsesh" ]; then mv "$site/samsesh" "$site/samsesh.old"; fi
        mv "$site/samsesh.new" "$site/samsesh"
        rm -rf "$site/samsesh.old"
    fi
    if [ "$kind" = run ]; then place_launcher; fi
    printf '%s\n' "$code" >"$environment/complete.new"
    mv "$environment/complete.new" "$environment/complete"
}

place_launcher() { # for service managers, whose user may not be able to read the checkout; its path never changes
    cat >"$parent/samsesh.new" <<END
#!/bin/sh
# Starts the newest environment that the launcher in the checkout made.
SAMSESH_LAUNCHER=\$0
export SAMSESH_LAUNCHER
exec "\${0%/*}/${environment##*/}/bin/python" -I -X utf8 -m samsesh "\$@"
END
    chmod 755 "$parent/samsesh.new"
    mv "$parent/samsesh.new" "$parent/samsesh"
}

tidy() { # keep the two newest environments, and any that a process still runs from
    # shellcheck disable=SC2012,SC2062 # names of our own; the pattern comes from stdin, lest grep finds itself
    ls -1dt "$parent/$kind"-* | tail -n +3 | while read -r old; do
        if ! printf '%s\n' "$old/" | grep -qsF -f - /proc/[0-9]*/cmdline; then rm -rf "$old"; fi
    done
    rm -f "$log"
}

distribution() { # ID and ID_LIKE of this system, as words
    if [ -r /etc/os-release ]; then (. /etc/os-release && echo "${ID:-} ${ID_LIKE:-}"); fi
}

python_hint() { # how to install Python here
    case " $(distribution) " in
        *' debian '* | *' ubuntu '*) echo "apt install python3" ;;
        *' fedora '* | *' rhel '*) echo "dnf install python3.12" ;;
        *' arch '*) echo "pacman -S python" ;;
        *suse*) echo "zypper install python312" ;;
        *' alpine '*) echo "apk add python3" ;;
        *) echo "install Python 3.$oldest_python or newer" ;;
    esac
}
