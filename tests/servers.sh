# Sourced by ./test: the servers of the launcher's tests. `start_servers FOLDER` installs what is missing and starts a
# Docker engine if none answers, with its log in FOLDER; `stop_servers` stops the engine that it started.

# Command and Debian package: an engine, a registry, an independent client of registries, a small image to build in.
SERVER_PACKAGES="dockerd:docker.io docker-compose:docker-compose docker-registry:docker-registry skopeo:skopeo
    busybox:busybox-static openssl:openssl"

engine_pid=

install_servers() {
    local pair missing=()
    for pair in $SERVER_PACKAGES; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    # Where an engine answers, as in Docker Desktop or over DOCKER_HOST, no second one is needed.
    if docker version >/dev/null 2>&1; then missing=("${missing[@]/docker.io/}"); fi
    # shellcheck disable=SC2206  # empty elements go away
    missing=(${missing[@]})
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "error: the launcher's tests need ${missing[*]}, and this user cannot install them" >&2
        echo "help: \`sudo apt-get install ${missing[*]}\` (Debian, Ubuntu), or leave these tests out: \`./test -p svm\`" >&2
        return 1
    fi
    echo "==> apt-get install ${missing[*]}"
    # Debian's packages start their services; the tests start their own.
    apt-get update -qq >/dev/null &&
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

start_servers() {
    local log=$1/dockerd.log try
    install_servers || return 1
    docker version >/dev/null 2>&1 && return 0
    if [ "$(id -u)" != 0 ]; then
        echo "error: no Docker engine answers, and only root can start one" >&2
        echo "help: \`sudo systemctl start docker\`, or set DOCKER_HOST" >&2
        return 1
    fi
    echo "==> starting dockerd, until the tests are over"
    # In a session of its own: Ctrl-C goes to the tests, which still need it to clean up.
    setsid dockerd >"$log" 2>&1 &
    engine_pid=$!
    for try in $(seq 60); do
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
