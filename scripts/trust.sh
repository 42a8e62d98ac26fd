# Who can change what we run, and which settings reach the programs that fetch it: for environment.sh. POSIX sh.
#
# Code may belong to the caller, to root and to whoever called sudo; settings count if they are the caller's or root's.
# A group counts as its members.
# shellcheck shell=sh

# shellcheck disable=SC2034 # environment.sh uses them
know_users() { # sets $me, and $partner: who called sudo, else $me again
    me=$(id -u)
    case ${SUDO_UID:-} in
        '' | *[!0-9]*) partner=$me ;;
        *) partner=$SUDO_UID ;;
    esac
}

# What can somebody else change, of what `find WORD...` finds? $suspect says it, or is empty. UID is trusted besides $me
# and root. With `folders`, what is in a folder with the sticky bit is its owner's; with `code`, nothing may be a link.
suspect() { # suspect folders|code UID WORD...
    what=$1 trusted=" 0 $me $2 " others="! -user 0 ! -user $me ! -user $2"
    shift 2
    # shellcheck disable=SC2086 # words for find
    suspect=$(LC_ALL=C find "$@" \( -type l -o -perm -0020 -o -perm -0002 -o $others \) -exec ls -ldn {} + 2>/dev/null) || :
    if [ -n "$suspect" ]; then suspect=$(printf '%s\n' "$suspect" | each_kind_once | first_suspect); fi
}

each_kind_once() { # of lines of `ls -ldn`: permissions, owner, group and name, if they differ in more than the name
    awk '{
        kind = $1 " " $3 " " $4
        if (seen[kind]++) next
        for (field = 1; field <= 8; field++) sub(/^[^ ]+ +/, "")
        print kind, $0
    }'
}

first_suspect() {
    while read -r permissions uid gid path; do
        case $trusted in
            *" $uid "*) ;;
            *) echo "$path belongs to $(named passwd "$uid")" && return ;;
        esac
        case $what:$permissions in
            folders:l* | folders:d????????[tT]*) ;;
            code:l*) echo "$path is a link" && return ;;
            *:????????w*) echo "everybody can write to $path" && return ;;
            *:?????w*+) echo "others can write to $path (see getfacl)" && return ;;
            *:?????w*)
                if ! is_private "$gid"; then echo "the group $(named group "$gid") can write to $path" && return; fi
                ;;
        esac
    done
}

named() { # named passwd|group NUMBER
    entry=$(entries "$1" "$2")
    echo "${entry%%:*}" | grep . || echo "$2"
}

entries() { # entries passwd|group [NUMBER]: lines of the system's database; not every system has getent
    if command -v getent >/dev/null; then
        # shellcheck disable=SC2086 # a number, or nothing
        getent "$1" ${2:-} || :
    else
        grep "^[^:]*:[^:]*:${2:-}" "/etc/$1" || :
    fi
}

is_private() { # is_private GID: whether nobody else is in this group
    entry=$(entries group "$1")
    for member in $(echo "${entry##*:}" | tr , ' '); do
        case $trusted in *" $(id -u "$member" 2>/dev/null) "*) ;; *) return 1 ;; esac
    done
    # Directories such as LDAP do not list whose first group it is: there it has to be the one that a user was made with.
    if ! grep -q "^[^:]*:[^:]*:$1:" /etc/group; then
        case $trusted in *" $(id -u "${entry%%:*}" 2>/dev/null) "*) ;; *) return 1 ;; esac
    fi
    entries passwd | awk -F: -v gid="$1" -v trusted="$trusted" '
        $4 == gid && !index(trusted, " " $3 " ") { others = 1 }
        END { exit others }'
}

# Sets $suspect for PATH... (absolute) and all folders above them; what is not there yet is passed over.
suspect_above() { # suspect_above UID PATH...
    uid=$1
    shift
    for path; do
        shift
        if [ -e "$path" ]; then set -- "$@" "$path"; fi
        while [ "$path" != / ]; do
            path=${path%/*}
            path=${path:-/}
            if [ -e "$path" ]; then set -- "$@" "$path"; fi
        done
    done
    suspect folders "$uid" "$@" -prune
}

is_own() { # is_own PATH: whether it is there and only the caller and root can change it, along all links; else see $suspect
    link=$1
    if [ ! -e "$link" ]; then suspect="$link is not there" && return 1; fi
    while [ -L "$link" ]; do
        true_path "${link%/*}"
        suspect_above "$me" "$path"
        if [ -n "$suspect" ]; then return 1; fi
        target=$(readlink "$link")
        case $target in
            /*) link=$target ;;
            *) link=$path/$target ;;
        esac
    done
    true_path "$link"
    suspect_above "$me" "$path"
    [ -z "$suspect" ]
}

true_path() { # sets $path to the place of a file or folder that may not be there yet, without links among its folders
    folder=$1 rest=''
    case $folder in /*) ;; *) folder=$PWD/$folder ;; esac
    until [ -d "$folder" ]; do
        rest=/${folder##*/}$rest folder=${folder%/*}
        folder=${folder:-/}
    done
    folder=$(CDPATH='' cd -P -- "$folder" && pwd)
    path=${folder%/}$rest
}

# For the programs that fetch: of the variables those stay that lead to proxies, certificates and registries, and files
# count if they are the caller's own. Call it in a shell of its own: whatever else is exported is gone then, but for names
# in small letters, which are ours. FOLDER stands in for a home that is not the caller's.
heed_own_settings() { # heed_own_settings FOLDER
    for variable in $(env | sed -n 's/^\([A-Za-z_][A-Za-z_0-9]*\)=.*/\1/p'); do
        case $variable in
            PATH | USER | LOGNAME | LANG | LC_* | TERM) ;;
            HOME | TMPDIR | XDG_CONFIG_HOME | XDG_CACHE_HOME | NETRC) own_or_unset "$variable" ;;
            HTTP_PROXY | HTTPS_PROXY | ALL_PROXY | NO_PROXY) ;;
            SSL_CERT_FILE | SSL_CERT_DIR | SSL_CLIENT_CERT | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE | NODE_EXTRA_CA_CERTS | \
                PIP_CERT | PIP_CLIENT_CERT | PIP_CONFIG_FILE | UV_CONFIG_FILE) own_or_unset "$variable" ;;
            PIP_INDEX_URL | PIP_EXTRA_INDEX_URL | PIP_NO_INDEX | PIP_FIND_LINKS | PIP_TRUSTED_HOST | PIP_PROXY | \
                PIP_TIMEOUT | PIP_DEFAULT_TIMEOUT | PIP_RETRIES | PIP_KEYRING_PROVIDER) own_or_unset "$variable" ;;
            UV_INDEX | UV_INDEX_* | UV_DEFAULT_INDEX | UV_EXTRA_INDEX_URL | UV_NO_INDEX | UV_FIND_LINKS | UV_OFFLINE | \
                UV_INSECURE_HOST | UV_NATIVE_TLS | UV_SYSTEM_CERTS | UV_HTTP_* | UV_REQUEST_TIMEOUT | \
                UV_CONCURRENT_DOWNLOADS | UV_KEYRING_PROVIDER | UV_PYTHON_DOWNLOADS | UV_PYTHON_INSTALL_MIRROR | \
                UV_PYTHON_DOWNLOADS_JSON_URL) own_or_unset "$variable" ;;
            npm_config_registry | npm_config_cafile) own_or_unset "$variable" ;;
            *[A-Z]* | npm_*) command unset "$variable" 2>/dev/null || : ;; # some shells have such that cannot be unset
        esac
    done
    export HOME="${HOME:-$1}"
    config=${XDG_CONFIG_HOME:-$HOME/.config}
    for file in "$HOME/.pip/pip.conf" "$config/pip/pip.conf" /etc/xdg/pip/pip.conf /etc/pip.conf; do
        if passed_over "$file"; then export PIP_CONFIG_FILE=/dev/null; fi # pip heeds all of them or none
    done
    if passed_over "$HOME/.npmrc"; then export npm_config_userconfig=/dev/null; fi
    for file in "$config/uv/uv.toml" /etc/xdg/uv/uv.toml /etc/uv/uv.toml; do
        if [ -z "${UV_CONFIG_FILE:-}" ] && [ -f "$file" ] && ! passed_over "$file"; then export UV_CONFIG_FILE="$file"; fi
    done
    if [ -z "${UV_CONFIG_FILE:-}" ]; then export UV_NO_CONFIG=1; fi
}

passed_over() { # passed_over FILE: whether somebody else can change it, which is said
    if [ ! -e "$1" ] || is_own "$1"; then return 1; fi
    say "$1 is passed over: $suspect"
}

own_or_unset() { # own_or_unset VARIABLE: one that names a place which is not the caller's does not count
    eval "value=\${$1:-}" # empty for what is only a line of another variable
    # shellcheck disable=SC2154 # eval sets it
    case $value in /*) ;; *) return ;; esac
    if ! is_own "$value"; then
        if [ -e "$value" ]; then say "$1 is passed over: $suspect"; fi
        unset "$1"
    fi
}
