#!/bin/sh
# Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
# Model:    Qwen2.5-32B-Instruct-Q4_K_M, Q4_K_M, hf:bartowski/Qwen2.5-32B-Instruct-GGUF/Qwen2.5-32B-Instruct-Q4_K_M.gguf
# Rig:      single-3060
# Engine:   llama-server (flags of the newest release)
# Plan:     context 8192, 62 layers on GPUs
# Device:   CUDA0 RTX 3060: 61 layers and the output layer, 10.93 GiB of 11.52 GiB free
# Remake:   splitter script --profile one-card-offload -o launchers
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
MODEL=./Qwen2.5-32B-Instruct-Q4_K_M.gguf
[ -f "$MODEL" ] || missing model 1 'beside this script: Qwen2.5-32B-Instruct-Q4_K_M.gguf' 'download it from: https://huggingface.co/bartowski/Qwen2.5-32B-Instruct-GGUF/resolve/main/Qwen2.5-32B-Instruct-Q4_K_M.gguf'
exec "$ENGINE" -m "$MODEL" --fit off -c 8192 --device CUDA0 -ngl 62 -b 2048 -ub 512 -ctk f16 -ctv f16 -fa auto -ot 'blk\.(3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|22|23|24|25|26|27|28|29|30|31|32|33|34|35|36|37|38|39)\.(ffn_down|ffn_gate|ffn_up)\.weight=CPU' -np 1 --host 127.0.0.1 --port 8080 --webui --cors-origins localhost
