#!/bin/sh
# Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
# Model:    Meta-Llama-3.1-8B-Instruct-Q4_K_M, Q4_K_M, hf:bartowski/Meta-Llama-3.1-8B-Instruct-GGUF/Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf
# Rig:      budget-pair
# Engine:   llama-server (flags of the newest release)
# Plan:     context 88576, 33 layers on GPUs
# Device:   CUDA0 GTX 1660 SUPER: 14 layers, 5.15 GiB of 5.66 GiB free
# Device:   CUDA1 RTX 3070: 18 layers and the output layer, 7.01 GiB of 7.52 GiB free
# Remake:   splitter script --profile long-context -o launchers
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
MODEL=./Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf
[ -f "$MODEL" ] || missing model 1 'beside this script: Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf' 'download it from: https://huggingface.co/bartowski/Meta-Llama-3.1-8B-Instruct-GGUF/resolve/main/Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf'
exec "$ENGINE" -m "$MODEL" --fit off -c 88576 --device CUDA0,CUDA1 -ngl 33 -sm layer -ts 14,19 -b 2048 -ub 512 -ctk q8_0 -ctv q8_0 -fa on -ot '^pipeline-off$=CPU' -np 1 --host 127.0.0.1 --port 8080 --webui --cors-origins localhost
