#!/usr/bin/env bash
# The main job, end to end, on the small trained model that comes with the package.
set -euo pipefail
cd "$(dirname "$0")/.."
out=demo-out
say() { printf '\n$ %s\n' "$*"; "$@"; }

say artpack demo -o "$out"
say artpack inspect "$out/int4.artpack"
say artpack inspect "$out/int4.artpack" --html "$out/int4.html"
