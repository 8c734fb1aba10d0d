# shellcheck shell=bash
# Sourced by ./test, .ci/run and bench. `make_venv REQUIREMENTS` prints the path of a Python that has
# exactly the packages of this file.
#
# There is one venv per requirements file and Python version, below the user's cache folder. It is
# built under a temporary name and renamed at the end, so an interrupted run leaves no partial venv.

# Tries the venv module first, then virtualenv, for distributions without ensurepip.
new_venv() {
    local target=$1
    if "$TRAINYARD_PYTHON3" -m venv "$target" >&2; then return; fi
    rm -rf "$target"
    if "$TRAINYARD_PYTHON3" -m virtualenv --version >/dev/null 2>&1 ||
        "$TRAINYARD_PYTHON3" -m pip install --quiet --user virtualenv==20.35.4 >&2 ||
        "$TRAINYARD_PYTHON3" -m pip install --quiet --user --break-system-packages virtualenv==20.35.4 >&2; then
        "$TRAINYARD_PYTHON3" -m virtualenv --quiet "$target" >&2 && return
        rm -rf "$target"
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "==> apt-get install python3-venv" >&2
        apt-get update -qq >&2 && apt-get install -y -qq python3-venv >&2 &&
            "$TRAINYARD_PYTHON3" -m venv "$target" >&2 && return
    fi
    echo "error: cannot make a Python venv: \`$TRAINYARD_PYTHON3 -m venv\` and virtualenv failed" >&2
    echo "help: install it (Debian, Ubuntu: \`apt-get install python3-venv\`) and start again" >&2
    return 1
}

make_venv() {
    local requirements=$1 version key home building
    TRAINYARD_PYTHON3=${TRAINYARD_PYTHON3:-python3}
    if ! command -v "$TRAINYARD_PYTHON3" >/dev/null; then
        echo "error: \`$TRAINYARD_PYTHON3\` is missing, expected Python 3.11 or newer" >&2
        echo "help: install it, or set TRAINYARD_PYTHON3 to the path of one" >&2
        return 1
    fi
    version=$("$TRAINYARD_PYTHON3" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
    if ! "$TRAINYARD_PYTHON3" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "error: \`$TRAINYARD_PYTHON3\` is Python $version, expected 3.11 or newer" >&2
        echo "help: set TRAINYARD_PYTHON3 to a newer one" >&2
        return 1
    fi
    # The interpreter's path is part of the key, because a venv links to it. Comments are not.
    key=$({ command -v "$TRAINYARD_PYTHON3"; echo "$version"; grep -v '^#' "$requirements"; } | cksum | tr -d ' ')
    home=${XDG_CACHE_HOME:-$HOME/.cache}/trainyard/venv-$key
    if [ ! -x "$home/bin/python" ]; then
        echo "==> making a Python venv from ${requirements#"$PWD"/} (once; Python $version)" >&2
        mkdir -p "${home%/*}"
        building=$(mktemp -d "$home.XXXXXX")
        if ! { new_venv "$building" &&
            "$building/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$requirements" >&2; }; then
            rm -rf "$building"
            return 1
        fi
        # If another process has made the same venv in the meantime, that one is used.
        "$TRAINYARD_PYTHON3" -c 'import os, sys; os.rename(*sys.argv[1:])' "$building" "$home" 2>/dev/null || rm -rf "$building"
    fi
    echo "$home/bin/python"
}
