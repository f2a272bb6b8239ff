#!/bin/sh
# Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
# Model:    Qwen2.5-3B-Instruct-Q4_K_M, Q4_K_M, hf:bartowski/Qwen2.5-3B-Instruct-GGUF/Qwen2.5-3B-Instruct-Q4_K_M.gguf
# Rig:      two-old-vulkan
# Engine:   koboldcpp (flags of the newest release)
# Plan:     context 4096, 37 layers on GPUs
# Device:   Vulkan0 GeForce MX150: 34 layers, 1.76 GiB of 1.86 GiB free
# Device:   Vulkan1 Radeon R5 M430: 2 layers and the output layer, 743 MiB of 1.81 GiB free
# Remake:   splitter script --profile two-old-cards -o launchers
set -u
case $0 in */*) CDPATH= cd -- "${0%/*}/" || exit 1 ;; esac
missing() {
  echo "The $1 was not found." >&2
  code=$2
  shift 2
  for place in "$@"; do printf '  %s\n' "$place" >&2; done
  exit "$code"
}
export GGML_VK_VISIBLE_DEVICES=0,1
ENGINE=./koboldcpp
[ -x "$ENGINE" ] || ENGINE=$(command -v koboldcpp) || ENGINE=
[ -x "$ENGINE" ] || missing engine 4 'beside this script: koboldcpp' 'on PATH: koboldcpp' 'download it from: https://github.com/LostRuins/koboldcpp/releases'
MODEL=./Qwen2.5-3B-Instruct-Q4_K_M.gguf
[ -f "$MODEL" ] || missing model 1 'beside this script: Qwen2.5-3B-Instruct-Q4_K_M.gguf' 'download it from: https://huggingface.co/bartowski/Qwen2.5-3B-Instruct-GGUF/resolve/main/Qwen2.5-3B-Instruct-Q4_K_M.gguf'
exec "$ENGINE" --model "$MODEL" --usevulkan --gpulayers 37 --tensor_split 34 3 --contextsize 4096 --batchsize 512 --ubatchsize 512 --overridetensors 'blk\.(0)\.(ffn_gate|ffn_up)\.weight=CPU' --threads 4 --host 127.0.0.1 --port 5001 --skiplauncher --quiet
