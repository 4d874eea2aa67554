#!/usr/bin/env bash
# The main job, end to end, on a checkpoint made on the spot.
set -euo pipefail
cd "$(dirname "$0")/.."
out=demo-out
mkdir -p "$out"
say() { printf '\n$ %s\n' "$*"; "$@"; }

python demo/make_checkpoint.py "$out/ckpt.pt"
say artpack recipes
say artpack compress "$out/ckpt.pt" -o "$out/artifact.bin" --recipe int6
say artpack inspect "$out/artifact.bin"
say artpack inspect "$out/artifact.bin" --html "$out/artifact.html"
say artpack verify "$out/artifact.bin" --against "$out/ckpt.pt"
say artpack unpack "$out/artifact.bin" -o "$out/weights.safetensors"
