#!/bin/sh
# Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
# Model:    splitter tiny, Q8_0, ../examples/tiny.gguf
# Rig:      any machine
# Engine:   embedded (flags of the newest release)
# Plan:     context 2048, 0 layers on GPUs
# Remake:   splitter script --profile demo -o launchers
set -u
case $0 in */*) CDPATH= cd -- "${0%/*}/" || exit 1 ;; esac
missing() {
  echo "The $1 was not found." >&2
  code=$2
  shift 2
  for place in "$@"; do printf '  %s\n' "$place" >&2; done
  exit "$code"
}
ENGINE=
[ -x "$ENGINE" ] || ENGINE=$(command -v python) || ENGINE=
[ -x "$ENGINE" ] || missing engine 4 'on PATH: python'
MODEL=./tiny.gguf
[ -f "$MODEL" ] || MODEL=../examples/tiny.gguf
[ -f "$MODEL" ] || missing model 1 'beside this script: tiny.gguf' 'at the planned place: ../examples/tiny.gguf'
exec "$ENGINE" -m splitter.engine.embedded.server -m "$MODEL" --fit off -c 2048 --device none -ngl 0 -b 2048 -ub 512 -ctk f16 -ctv f16 -fa auto -np 1 --host 127.0.0.1 --port 8080 --webui --cors-origins localhost
