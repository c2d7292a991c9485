# What the scripts of this folder share; they are run from the project's root. Builds are kept and used again.
# shellcheck shell=bash
hostile=$PWD/target/hostile # Whatever cargo is told elsewhere.
mkdir -p "$hostile"

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

fail() { printf '%s: FAILED: %s\n' "${0##*/}" "$*" >&2; exit 1; }

need() { # command, Debian package
    if ! command -v "$1" > "$hostile/need"; then
        say "installing $2"
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$2"
    fi
}

quiet() { # runs a command; what it prints is shown if it fails
    "$@" > "$hostile/log" 2>&1 || { cat "$hostile/log" >&2; fail "$*"; }
}
