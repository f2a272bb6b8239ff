#!/bin/sh
# Written by splitter 0.1.0: starts a planned engine; can be run from any folder.
# Model:    Qwen2.5-32B-Instruct-Q4_K_M, Q4_K_M, hf:bartowski/Qwen2.5-32B-Instruct-GGUF/Qwen2.5-32B-Instruct-Q4_K_M.gguf
# Rig:      phoenix
# Engine:   koboldcpp (flags of the newest release)
# Plan:     context 4096, 65 layers on GPUs
# Device:   CUDA1 RTX 2080: 40 layers, 7.11 GiB of 7.62 GiB free
# Device:   CUDA2 GTX 1060 6GB: 18 layers, 5.26 GiB of 5.76 GiB free
# Device:   CUDA0 GTX 1050 Ti: 6 layers and the output layer, 3.11 GiB of 3.81 GiB free
# Remake:   splitter script --profile phoenix -o launchers
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
export CUDA_VISIBLE_DEVICES=1,2,0
ENGINE=./koboldcpp
[ -x "$ENGINE" ] || ENGINE=$(command -v koboldcpp) || ENGINE=
[ -x "$ENGINE" ] || missing engine 4 'beside this script: koboldcpp' 'on PATH: koboldcpp' 'download it from: https://github.com/LostRuins/koboldcpp/releases'
MODEL=./Qwen2.5-32B-Instruct-Q4_K_M.gguf
[ -f "$MODEL" ] || missing model 1 'beside this script: Qwen2.5-32B-Instruct-Q4_K_M.gguf' 'download it from: https://huggingface.co/bartowski/Qwen2.5-32B-Instruct-GGUF/resolve/main/Qwen2.5-32B-Instruct-Q4_K_M.gguf'
exec "$ENGINE" --model "$MODEL" --usecuda normal --gpulayers 65 --tensor_split 40 18 7 --contextsize 4096 --batchsize 512 --ubatchsize 512 --overridetensors 'blk\.(0|1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19|20|21|40|41)\.(ffn_down|ffn_gate|ffn_up)\.weight=CPU,blk\.(42)\.(ffn_gate)\.weight=CPU' --threads 12 --host 127.0.0.1 --port 5001 --skiplauncher --quiet
