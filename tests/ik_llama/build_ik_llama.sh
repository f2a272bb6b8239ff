#!/usr/bin/env bash
# Builds ik_llama.cpp's llama-server and rpc-server for the CPU from the PyPI source package ik-llama-cpp-python.
# Usage: build_ik_llama.sh [DEST]    DEST defaults to ${XDG_CACHE_HOME:-~/.cache}/splitter-engine/ik_llama-0.1.5
# Prints DEST on its last line; a finished build is reused. Built for what it says of memory, not for speed: without
# its own flash-attention kernels for the CPU, which take most of the time.
set -euo pipefail
VERSION=0.1.5
DEST=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/splitter-engine/ik_llama-$VERSION}
mkdir -p "$DEST"
exec 9>"$DEST/.lock"; flock 9
if [ ! -x "$DEST/bin/llama-server" ] || [ ! -f "$DEST/.built" ]; then
  if [ ! -f "$DEST/ik_llama.cpp/CMakeLists.txt" ]; then
    python3 -m pip download -q --no-deps --no-binary ik-llama-cpp-python -d "$DEST/sdist" "ik-llama-cpp-python==$VERSION"
    tar -xzf "$DEST"/sdist/ik_llama_cpp_python-*.tar.gz -C "$DEST" --strip-components=2 --wildcards '*/vendor/ik_llama.cpp'
  fi
  # The package lacks the script that fills common/build-info.cpp.in.
  mkdir -p "$DEST/ik_llama.cpp/common/cmake"
  cat > "$DEST/ik_llama.cpp/common/cmake/build-info-gen-cpp.cmake" <<'CMAKE'
set(BUILD_NUMBER 0)
set(BUILD_COMMIT "unknown")
set(BUILD_COMPILER "unknown")
set(BUILD_TARGET "unknown")
configure_file(common/build-info.cpp.in common/build-info.cpp @ONLY)
CMAKE
  # Without those kernels their file does not compile: the same two functions, which say that there are none.
  cat > "$DEST/ik_llama.cpp/ggml/src/iqk/iqk_flash_attn.cpp" <<'CPP'
#include "iqk_config.h"
#include "iqk_mul_mat.h"
#include "ggml.h"
extern "C" IQK_API size_t iqk_fa_work_buffer_size(const ggml_tensor *, int) { return 0; }
extern "C" IQK_API bool iqk_flash_attn_noalibi(int, int, float, int, int, long, long, int, int, long, long, int, int,
    long, long, int, int, long, int, int, int, int, int, int, int, int, int, int, const void *, const void *,
    const void *, const void *, const void *, float, float, float *, void *, barrier_t, void *, int, int, int) {
    return false;
}
CPP
  cmake -S "$DEST/ik_llama.cpp" -B "$DEST/build" -DCMAKE_BUILD_TYPE=Release -DGGML_RPC=ON -DLLAMA_BUILD_TESTS=OFF \
        -DGGML_IQK_FLASH_ATTENTION=OFF -DCMAKE_C_FLAGS_RELEASE=-O1 -DCMAKE_CXX_FLAGS_RELEASE=-O1 >&2
  cmake --build "$DEST/build" -j "$(nproc)" --target llama-server rpc-server >&2
  ln -sfn build/bin "$DEST/bin"
  touch "$DEST/.built"
fi
echo "$DEST"
