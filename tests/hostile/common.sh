# Functions that the scripts of this folder share. The scripts run in the project's root. Builds are kept and used
# again. shellcheck shell=bash
hostile=$PWD/target/hostile # It does not depend on CARGO_TARGET_DIR.
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

quiet() { # runs a command, and prints its output if it fails
    "$@" > "$hostile/log" 2>&1 || { cat "$hostile/log" >&2; fail "$*"; }
}
