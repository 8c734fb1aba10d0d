# shellcheck shell=bash
# Sourced by ./test and .ci/run: the servers of the launcher's tests, and a browser.
# `start_servers FOLDER` installs missing packages and starts a Docker engine if none answers, with
# its log in FOLDER. `stop_servers` stops that engine. `find_chromium` prints the path of Chromium,
# which it installs if there is none.

# Commands and their Debian packages: an engine, a registry, a second registry client.
SERVER_PACKAGES="dockerd:docker.io docker-compose:docker-compose docker-registry:docker-registry
    skopeo:skopeo openssl:openssl"

engine_pid=

install_servers() {
    local pair missing=()
    for pair in $SERVER_PACKAGES; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    # An engine that answers is used, such as Docker Desktop's or the one of DOCKER_HOST.
    if docker version >/dev/null 2>&1; then missing=("${missing[@]/docker.io/}"); fi
    # shellcheck disable=SC2206  # drops empty elements
    missing=(${missing[@]})
    [ ${#missing[@]} -gt 0 ] || return 0
    install_packages "the launcher's tests" "test other packages: \`./test -p svm\`" "${missing[@]}"
}

# `install_packages WHAT HELP PACKAGES...`: WHAT needs them; HELP is what else a user may do.
install_packages() {
    local what=$1 help=$2
    shift 2
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "error: $what need $*, and this user cannot install packages" >&2
        echo "help: \`sudo apt-get install $*\` (Debian, Ubuntu), or $help" >&2
        return 1
    fi
    echo "==> apt-get install $*" >&2
    # RUNLEVEL=1: the packages must not start their services; the tests start their own.
    apt-get update -qq >/dev/null &&
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

find_chromium() {
    local program names="chromium chromium-browser google-chrome"
    # shellcheck disable=SC2086  # names, split at spaces
    if ! program=${TRAINYARD_CHROMIUM:-$(command -v $names | head -n 1)} || [ -z "$program" ]; then
        install_packages "the tests of \`serve\`'s page" \
            "set TRAINYARD_CHROMIUM to the path of Chromium or Chrome" chromium || return 1
        program=$(command -v chromium) || return 1
    fi
    echo "$program"
}

start_servers() {
    local log=$1/dockerd.log
    install_servers || return 1
    docker version >/dev/null 2>&1 && return 0
    if [ "$(id -u)" != 0 ]; then
        echo "error: no Docker engine answers, and only root can start one" >&2
        echo "help: \`sudo systemctl start docker\`, or set DOCKER_HOST" >&2
        return 1
    fi
    echo "==> starting dockerd for the tests"
    # In a session of its own, because tests need it after Ctrl-C, for clean-up.
    setsid dockerd >"$log" 2>&1 &
    engine_pid=$!
    for _ in $(seq 60); do
        docker version >/dev/null 2>&1 && return 0
        kill -0 "$engine_pid" 2>/dev/null || break
        sleep 0.5
    done
    echo "error: dockerd does not answer; the end of its log:" >&2
    tail -n 5 "$log" >&2
    echo "help: start an engine yourself, or set DOCKER_HOST" >&2
    stop_servers
    return 1
}

stop_servers() {
    [ -n "$engine_pid" ] || return 0
    kill "$engine_pid" 2>/dev/null && wait "$engine_pid" 2>/dev/null
    engine_pid=
}
