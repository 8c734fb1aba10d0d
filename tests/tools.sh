# shellcheck shell=bash
# Sourced by .ci/run after venv.sh, and by bench/serve. Installs the linters and other programs, at
# pinned versions, below the user's cache folder.

# Prints the folder of ruff, shellcheck and typos.
python_tools() {
    local python
    python=$(make_venv "$PWD/tests/tools-requirements.txt") && dirname "$python"
}

# `cargo_tool CRATE VERSION [OPTIONS]` prints the path of a program from crates.io. Without OPTIONS of
# `cargo install`, it is compiled without its default features and without optimisation: minutes less,
# for programs that run for seconds.
cargo_tool() {
    local crate=$1 version=$2 home building
    shift 2
    [ $# -gt 0 ] || set -- --debug --no-default-features
    home=${XDG_CACHE_HOME:-$HOME/.cache}/trainyard/$crate-$version
    if [ ! -x "$home/bin/$crate" ]; then
        echo "==> compiling $crate $version (once)" >&2
        mkdir -p "${home%/*}"
        building=$(mktemp -d "$home.XXXXXX")
        if ! env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --locked \
            "$@" --root "$building" "$crate@$version" >&2; then
            rm -rf "$building"
            return 1
        fi
        # If another process has compiled it in the meantime, that one is used.
        mv -T "$building" "$home" 2>/dev/null || rm -rf "$building"
    fi
    echo "$home/bin/$crate"
}
