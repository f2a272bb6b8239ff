#!/bin/sh
# Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
# Model:    Qwen3-30B-A3B-Q4_K_M, Q4_K_M, hf:unsloth/Qwen3-30B-A3B-GGUF/Qwen3-30B-A3B-Q4_K_M.gguf
# Rig:      single-3060
# Engine:   llama-server (flags of the newest release)
# Plan:     context 16384, 49 layers on GPUs
# Device:   CUDA0 RTX 3060: 48 layers and the output layer, 2.88 GiB of 11.52 GiB free
# Remake:   splitter script --profile moe-in-ram -o launchers
set -u
case $0 in */*) CDPATH= cd -- "${0%/*}/" || exit 1 ;; esac
missing() {
  echo "The $1 was not found." >&2
  code=$2
  shift 2
  for place in "$@"; do printf '  %s\n' "$place" >&2; done
  exit "$code"
}
export CUDA_DEVICE_ORDER=PCI_BUS_ID
ENGINE=./llama-server
[ -x "$ENGINE" ] || ENGINE=$(command -v llama-server) || ENGINE=
[ -x "$ENGINE" ] || missing engine 4 'beside this script: llama-server' 'on PATH: llama-server' 'download it from: https://github.com/ggml-org/llama.cpp/releases'
MODEL=./Qwen3-30B-A3B-Q4_K_M.gguf
[ -f "$MODEL" ] || missing model 1 'beside this script: Qwen3-30B-A3B-Q4_K_M.gguf' 'download it from: https://huggingface.co/unsloth/Qwen3-30B-A3B-GGUF/resolve/main/Qwen3-30B-A3B-Q4_K_M.gguf'
exec "$ENGINE" -m "$MODEL" --fit off -c 16384 --device CUDA0 -ngl 49 -b 2048 -ub 1024 -ctk f16 -ctv f16 -fa auto -cmoe -np 1 --host 127.0.0.1 --port 8080 --webui --cors-origins localhost
