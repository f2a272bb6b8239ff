"""Which flags llama-server has and how many values each takes.

`common/arg.cpp` and `llama-server --help` of build 11434, plus spellings that older builds knew. Every flag with a
meaning for memory or safety is a Flag; the others are only known by name, so that their values are not misread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: `names` turn it on or take `values` values, `negative` names turn it off, `env` is its variable."""

    dest: str
    values: int
    names: tuple[str, ...]
    negative: tuple[str, ...] = ()
    env: str | None = None


# dest, number of values, names (! before those that turn it off), environment variable without LLAMA_ARG_ (=: whole)
_KNOWN = """
help 0 -h,--help,--usage
version 0 --version
list_devices 0 --list-devices
threads 1 -t,--threads THREADS
threads_batch 1 -tb,--threads-batch
ctx_size 1 -c,--ctx-size CTX_SIZE
batch_size 1 -b,--batch-size BATCH
ubatch_size 1 -ub,--ubatch-size UBATCH
swa_full 0 --swa-full SWA_FULL
flash_attn 1 -fa,--flash-attn FLASH_ATTN
kv_offload 0 -kvo,--kv-offload,!-nkvo,!--no-kv-offload KV_OFFLOAD
op_offload 0 --op-offload,!--no-op-offload
cache_type_k 1 -ctk,--cache-type-k CACHE_TYPE_K
cache_type_v 1 -ctv,--cache-type-v CACHE_TYPE_V
rpc 1 --rpc RPC
load_mode 1 -lm,--load-mode LOAD_MODE
mmap 0 --mmap,!--no-mmap MMAP
mlock 0 --mlock MLOCK
direct_io 0 -dio,--direct-io,!-ndio,!--no-direct-io DIO
device 1 -dev,--device DEVICE
override_tensor 1 -ot,--override-tensor OVERRIDE_TENSOR
cpu_moe 0 -cmoe,--cpu-moe CPU_MOE
n_cpu_moe 1 -ncmoe,--n-cpu-moe N_CPU_MOE
n_cpu_ffn 1 -ncffn,--n-cpu-ffn N_CPU_FFN
gpu_layers 1 -ngl,--gpu-layers,--n-gpu-layers N_GPU_LAYERS
split_mode 1 -sm,--split-mode SPLIT_MODE
tensor_split 1 -ts,--tensor-split TENSOR_SPLIT
main_gpu 1 -mg,--main-gpu MAIN_GPU
fit 1 -fit,--fit FIT
fit_target 1 -fitt,--fit-target FIT_TARGET
fit_ctx 1 -fitc,--fit-ctx FIT_CTX
model 1 -m,--model MODEL
model_url 1 -mu,--model-url MODEL_URL
docker_repo 1 -dr,--docker-repo DOCKER_REPO
hf_repo 1 -hf,-hfr,--hf-repo HF_REPO
hf_file 1 -hff,--hf-file HF_FILE
models_dir 1 --models-dir MODELS_DIR
models_preset 1 --models-preset MODELS_PRESET
parallel 1 -np,--parallel N_PARALLEL
kv_unified 0 -kvu,--kv-unified,!-no-kvu,!--no-kv-unified KV_UNIFIED
kv_unified_per_slot 1 --kv-unified-per-slot KV_UNIFIED_PER_SLOT
mmproj 1 -mm,--mmproj MMPROJ
mmproj_url 1 -mmu,--mmproj-url MMPROJ_URL
mmproj_auto 0 --mmproj-auto,!--no-mmproj,!--no-mmproj-auto MMPROJ_AUTO
mmproj_device 1 -mmdev,--mmproj-device =MTMD_BACKEND_DEVICE
mmproj_offload 0 --mmproj-offload,!--no-mmproj-offload MMPROJ_OFFLOAD
draft_model 1 -md,--model-draft,--spec-draft-model SPEC_DRAFT_MODEL
draft_gpu_layers 1 -ngld,--gpu-layers-draft,--n-gpu-layers-draft,--spec-draft-ngl N_GPU_LAYERS_DRAFT
draft_hf_repo 1 -hfd,-hfrd,--hf-repo-draft,--spec-draft-hf SPEC_DRAFT_HF_REPO
draft_device 1 -devd,--device-draft,--spec-draft-device
draft_cache_type_k 1 -ctkd,--cache-type-k-draft,--spec-draft-type-k SPEC_DRAFT_CACHE_TYPE_K
draft_cache_type_v 1 -ctvd,--cache-type-v-draft,--spec-draft-type-v SPEC_DRAFT_CACHE_TYPE_V
spec_type 1 --spec-type SPEC_TYPE
spec_draft_n_max 1 --spec-draft-n-max,--draft,--draft-n,--draft-max SPEC_DRAFT_N_MAX
embedding 0 --embedding,--embeddings EMBEDDINGS
cache_ram 1 -cram,--cache-ram CACHE_RAM
ctx_checkpoints 1 -ctxcp,--ctx-checkpoints,--swa-checkpoints CTX_CHECKPOINTS
host 1 --host HOST
port 1 --port PORT
api_key 1 --api-key
api_key_file 1 --api-key-file API_KEY_FILE
web_ui 0 --ui,--webui,!--no-ui,!--no-webui UI
cors_origins 1 --cors-origins CORS_ORIGINS
control_vector_layer_range 2 --control-vector-layer-range
"""

_ONE_VALUE = """
-C --cpu-mask -Cr --cpu-range --cpu-strict --prio --poll -Cb --cpu-mask-batch -Crb --cpu-range-batch
--cpu-strict-batch --prio-batch --poll-batch -n --predict --n-predict --keep --rope-scaling --rope-scale
--rope-freq-base --rope-freq-scale --yarn-orig-ctx --yarn-ext-factor --yarn-attn-factor --yarn-beta-slow
--yarn-beta-fast -dt --defrag-thold -lzm --lazy-mode --numa --override-kv --lora --lora-scaled --control-vector
--control-vector-scaled -hft --hf-token --log-file --log-colors -lv --verbosity --log-verbosity
--samplers -s --seed --sampler-seq --sampling-seq --temp --temperature --top-k --top-p
--min-p --top-nsigma --top-n-sigma --xtc-probability --xtc-threshold --typical --typical-p --repeat-last-n
--repeat-penalty --presence-penalty --frequency-penalty --dry-multiplier --dry-base --dry-allowed-length
--dry-penalty-last-n --dry-sequence-breaker --adaptive-target --adaptive-decay --dynatemp-range --dynatemp-exp
--mirostat --mirostat-lr --mirostat-ent -l --logit-bias --grammar --grammar-file -j --json-schema -jf
--json-schema-file --spec-draft-threads -td --threads-draft --spec-draft-threads-batch -tbd --threads-batch-draft
--spec-draft-cpu-mask -Cd --cpu-mask-draft --spec-draft-cpu-range -Crd --cpu-range-draft --spec-draft-cpu-strict
--cpu-strict-draft --spec-draft-prio --prio-draft --spec-draft-poll --poll-draft --spec-draft-cpu-mask-batch -Cbd
--cpu-mask-batch-draft --spec-draft-cpu-strict-batch --cpu-strict-batch-draft --spec-draft-prio-batch
--prio-batch-draft --spec-draft-poll-batch --poll-batch-draft --spec-draft-override-tensor -otd
--override-tensor-draft --spec-draft-n-cpu-moe --spec-draft-ncmoe -ncmoed --n-cpu-moe-draft
--spec-draft-n-min --spec-synth-len --spec-synth-rates --spec-draft-p-split --draft-p-split --spec-draft-p-min
--draft-p-min --spec-draft-sampling --spec-ngram-mod-n-min --spec-ngram-mod-n-max --spec-ngram-mod-n-match
--spec-ngram-simple-size-n --spec-ngram-simple-size-m --spec-ngram-simple-min-hits --spec-ngram-map-k-size-n
--spec-ngram-map-k-size-m --spec-ngram-map-k-min-hits --spec-ngram-map-k4v-size-n --spec-ngram-map-k4v-size-m
--spec-ngram-map-k4v-min-hits --draft-min --draft-n-min --spec-ngram-size-n
--spec-ngram-size-m --spec-ngram-min-hits -lcs --lookup-cache-static -lcd --lookup-cache-dynamic
-cms --checkpoint-min-step -r --reverse-prompt --pooling
--image-min-tokens --image-max-tokens --mtmd-batch-max-tokens --video-fps
--video-timestamp-interval --video-ffmpeg-dir -a --alias --tags --embd-normalize --path
--cors-methods --cors-headers --api-prefix --ui-config --webui-config --ui-config-file --webui-config-file --tools
--tools-runtime --mcp-servers-config --mcp-servers-json --ssl-key-file --ssl-cert-file --chat-template-kwargs -to
--timeout --sse-ping-interval --threads-http --cache-reuse --slot-save-path --media-path --models-max
--reasoning-format -rea --reasoning --reasoning-effort --reasoning-budget --reasoning-budget-message --chat-template
--chat-template-file -sps --slot-prompt-similarity --sleep-idle-seconds --log-prompts-dir
-gan --grp-attn-n -gaw --grp-attn-w -spf --system-prompt-file
"""

_NO_VALUE = """
-cl --cache-list --completion-bash --perf --no-perf -e --escape --no-escape --repack -nr --no-repack --no-host
--check-tensors --log-disable --log-jsonl --no-log-jsonl -v --verbose --log-verbose --offline --log-prefix
--no-log-prefix --log-timestamps --no-log-timestamps --ignore-eos -bs --backend-sampling --spec-draft-cpu-moe -cmoed
--cpu-moe-draft --spec-draft-backend-sampling --no-spec-draft-backend-sampling --cache-idle-slots
--no-cache-idle-slots --context-shift --no-context-shift -sp --special --warmup --no-warmup --spm-infill -cb
--cont-batching -nocb --no-cont-batching --reuse-port --cors-credentials --no-cors-credentials --ui-mcp-proxy
--webui-mcp-proxy --no-ui-mcp-proxy --no-webui-mcp-proxy -ag --agent -no-ag --no-agent
--rerank --reranking --cache-prompt --no-cache-prompt --metrics --props --slots --no-slots
--models-autoload --no-models-autoload --jinja --no-jinja --reasoning-preserve --no-reasoning-preserve
--skip-chat-parsing --no-skip-chat-parsing --prefill-assistant --no-prefill-assistant --lora-init-without-apply
--embd-gemma-default --fim-qwen-1.5b-default --fim-qwen-3b-default --fim-qwen-7b-default --fim-qwen-7b-spec
--fim-qwen-14b-spec --fim-qwen-30b-default --gpt-oss-20b-default --gpt-oss-120b-default --vision-gemma-4b-default
--vision-gemma-12b-default --spec-default
--dump-kv-cache --log-new --log-append
"""

# Flags that build 11434 no longer accepts, with what to do instead.
REMOVED: Mapping[str, str] = {
    "--mmap": "write --load-mode mmap",
    "--no-mmap": "write --load-mode none",
    "--mlock": "write --load-mode mlock",
    "-dio": "write --load-mode dio",
    "--direct-io": "write --load-mode dio",
    "-ndio": "leave it out",
    "--no-direct-io": "leave it out",
    "--draft": "write --spec-draft-n-max",
    "--draft-n": "write --spec-draft-n-max",
    "--draft-max": "write --spec-draft-n-max",
    "--draft-min": "write --spec-draft-n-min",
    "--draft-n-min": "write --spec-draft-n-min",
    "--spec-ngram-size-n": "write --spec-ngram-simple-size-n",
    "--spec-ngram-size-m": "write --spec-ngram-simple-size-m",
    "--spec-ngram-min-hits": "write --spec-ngram-simple-min-hits",
    **dict.fromkeys(("-gan", "--grp-attn-n", "-gaw", "--grp-attn-w", "-spf", "--system-prompt-file"), "leave it out"),
    **dict.fromkeys(("--dump-kv-cache", "--log-new", "--log-append"), "leave it out"),
}


@cache
def flags_by_name() -> Mapping[str, tuple[Flag, bool]]:
    """Every spelling with its Flag and whether it is a positive one. Dest of a flag known by name only: its name."""
    found: dict[str, tuple[Flag, bool]] = {}
    for flag in known_flags():
        found |= dict.fromkeys(flag.names, (flag, True)) | dict.fromkeys(flag.negative, (flag, False))
    for values, names in ((0, _NO_VALUE), (1, _ONE_VALUE)):
        for name in names.split():
            found.setdefault(name, (Flag(name, values, (name,)), True))
    return found


@cache
def known_flags() -> tuple[Flag, ...]:
    """The flags that mean something here, in the order of the table."""
    return tuple(_flag(row) for row in _KNOWN.strip().splitlines())


def _flag(row: str) -> Flag:
    dest, values, names, *env = row.split()
    spelled = names.split(",")
    positive = tuple(name for name in spelled if name[0] != "!")
    negative = tuple(name[1:] for name in spelled if name[0] == "!")
    variable = None if not env else env[0][1:] if env[0].startswith("=") else f"LLAMA_ARG_{env[0]}"
    return Flag(dest, int(values), positive, negative, variable)
