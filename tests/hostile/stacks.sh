#!/bin/sh
# The stack that calls take: builds stacks.c against build/libgptz.so and runs it. Arguments: methods, all by default.
set -eu
cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
${CC:-cc} -O1 -Wall -Wextra -Werror -Iinclude tests/hostile/stacks.c -o "$out/stacks" -Lbuild -lgptz -lpthread
LD_LIBRARY_PATH=$PWD/build${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$out/stacks" tests/data/rwkv7-tiny.safetensors "$@"
