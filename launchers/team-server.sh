#!/bin/sh
# Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
# Model:    Qwen2.5-14B-Instruct-Q4_K_M, Q4_K_M, hf:bartowski/Qwen2.5-14B-Instruct-GGUF/Qwen2.5-14B-Instruct-Q4_K_M.gguf
# Rig:      twelve-and-twentyfour
# Engine:   llama-server (flags of the newest release)
# Plan:     context 65536, 49 layers on GPUs
# Device:   CUDA1 RTX 4090: 48 layers and the output layer, 20.85 GiB of 22.95 GiB free
# Remake:   splitter script --profile team-server -o launchers
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
MODEL=./Qwen2.5-14B-Instruct-Q4_K_M.gguf
[ -f "$MODEL" ] || missing model 1 'beside this script: Qwen2.5-14B-Instruct-Q4_K_M.gguf' 'download it from: https://huggingface.co/bartowski/Qwen2.5-14B-Instruct-GGUF/resolve/main/Qwen2.5-14B-Instruct-Q4_K_M.gguf'
API_KEY_FILE=
[ -s "$API_KEY_FILE" ] || API_KEY_FILE=splitter-keys.txt
[ -s "$API_KEY_FILE" ] || missing 'API key file' 1 'at the planned place: splitter-keys.txt'
exec "$ENGINE" -m "$MODEL" --fit off -c 65536 --device CUDA1 -ngl 49 -b 2048 -ub 512 -ctk f16 -ctv f16 -fa auto -np 8 --host 0.0.0.0 --port 8080 --webui --cors-origins localhost --api-key-file "$API_KEY_FILE"
