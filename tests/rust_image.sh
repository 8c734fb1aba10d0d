#!/usr/bin/env bash
# Imports an image with this machine's Rust and C compiler into the Docker engine: a base for
# docker/Dockerfile where no image can be pulled.
#
#   tests/rust_image.sh NAME             for crates without dependencies
#   tests/rust_image.sh NAME --crates    with the crates that cargo has downloaded
set -euo pipefail
name=$1
sysroot=$(rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
cd /
paths=(
    etc/alternatives etc/ld.so.cache etc/ld.so.conf etc/ld.so.conf.d etc/ssl/certs etc/passwd
    usr/include usr/lib/gcc "${sysroot#/}/bin" "${sysroot#/}/lib"
)
for path in bin sbin lib lib64 usr/sbin usr/lib64 usr/share/ca-certificates; do
    [ ! -e "$path" ] || paths+=("$path")
done
if [ "${2:-}" = --crates ]; then paths+=("${cargo_home#/}/registry"); fi
# A compiler has no large files here; other programs have.
mapfile -t files < <(find usr/bin usr/lib/x86_64-linux-gnu -maxdepth 1 -size -9M ! -type d)
tar --create "${paths[@]}" "${files[@]}" |
    docker import \
        --change "ENV PATH=$sysroot/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        --change "ENV CARGO_HOME=$cargo_home" - "$name"
