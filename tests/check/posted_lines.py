"""Command lines in the shapes that people post, 2023 to 2026: version, line, what it says, what nobody knows of it."""

from typing import Any

Posted = tuple[str, str, dict[str, Any], tuple[str, ...]]

LLAMA: tuple[Posted, ...] = (
    (
        "1500",
        "./server -m models/llama-2-13b-chat.Q4_K_M.gguf -c 4096 -ngl 35 --host 0.0.0.0 --port 8080",
        {"context_size": 4096, "gpu_layers": 35},
        (),
    ),
    (
        "1700",
        "./server -m mistral-7b-instruct-v0.2.Q5_K_M.gguf -c 8192 -ngl 99 -t 8 -cb -np 4 --mlock",
        {"context_size": 8192, "gpu_layers": 99, "threads": 8, "parallel": 4},
        (),
    ),
    (
        "1900",
        "server.exe -m mixtral-8x7b-v0.1.Q3_K_M.gguf -ngl 18 -ts 3,1 -mg 0 -c 4096 -b 512 --no-mmap",
        {
            "gpu_layers": 18,
            "tensor_split": (3, 1),
            "main_gpu": 0,
            "context_size": 4096,
            "batch_size": 512,
            "mmap": False,
        },
        (),
    ),
    (
        "2300",
        "./server -m miqu-70b.q2_K.gguf -ngl 81 -sm layer -ts 24,24 -c 8192 -ctk q8_0 -nocb",
        {
            "gpu_layers": 81,
            "split_mode": "layer",
            "tensor_split": (24, 24),
            "context_size": 8192,
            "cache_type_k": "q8_0",
        },
        (),
    ),
    (
        "2600",
        "./server -m c4ai-command-r-v01-Q4_K_M.gguf -ngl 41 -fa -c 16384 -b 2048 -ub 512",
        {"gpu_layers": 41, "flash_attention": "on", "context_size": 16384, "batch_size": 2048, "ubatch_size": 512},
        (),
    ),
    (
        "3000",
        "llama-server -m Meta-Llama-3-70B-Instruct.Q4_K_M.gguf --n-gpu-layers 40 --tensor-split "
        "0.6,0.4 --flash-attn --ctx-size 8192",
        {"gpu_layers": 40, "tensor_split": (0.6, 0.4), "flash_attention": "on", "context_size": 8192},
        (),
    ),
    (
        "3400",
        "llama-server --model gemma-2-27b-it-Q4_K_M.gguf -ngl 47 -c 8192 --threads 8 --temp 0.7 --repeat-penalty 1.1",
        {"gpu_layers": 47, "context_size": 8192, "threads": 8},
        (),
    ),
    (
        "3600",
        "llama-server -m Mistral-Large-2407.Q2_K.gguf -ngl 88 -ts 20,24,24 -c 16384 -fa -ctk q4_0 -ctv q4_0",
        {
            "gpu_layers": 88,
            "tensor_split": (20, 24, 24),
            "context_size": 16384,
            "flash_attention": "on",
            "cache_type_k": "q4_0",
            "cache_type_v": "q4_0",
        },
        (),
    ),
    (
        "3900",
        "llama-server -m Qwen2.5-32B-Instruct-Q4_K_M.gguf --n-gpu-layers 65 -c 32768 -fa "
        "--rope-scaling yarn --rope-scale 4 --yarn-orig-ctx 32768",
        {"gpu_layers": 65, "context_size": 32768, "flash_attention": "on"},
        (),
    ),
    (
        "4300",
        "llama-server -m Qwen2.5-Coder-32B-Q4_K_M.gguf -md Qwen2.5-Coder-0.5B-Q8_0.gguf -ngl 99 -ngld "
        "99 -fa --draft-max 16 --draft-min 5 -c 16384",
        {
            "draft_model": "Qwen2.5-Coder-0.5B-Q8_0.gguf",
            "gpu_layers": 99,
            "draft_gpu_layers": 99,
            "spec_draft_n_max": 16,
            "flash_attention": "on",
            "context_size": 16384,
        },
        (),
    ),
    (
        "4600",
        "llama-server -m DeepSeek-R1-UD-IQ1_S-00001-of-00003.gguf --cache-type-k q4_0 --threads 16 "
        "--prio 2 --temp 0.6 --ctx-size 8192 --n-gpu-layers 7",
        {"cache_type_k": "q4_0", "threads": 16, "context_size": 8192, "gpu_layers": 7},
        (),
    ),
    (
        "4800",
        "llama-server -hf bartowski/QwQ-32B-GGUF:Q4_K_M -ngl 99 -c 16384 --samplers "
        "'top_k;top_p;min_p;temperature' --port 8033",
        {"gpu_layers": 99, "context_size": 16384},
        (),
    ),
    (
        "5100",
        "llama-server -m Llama-4-Scout-Q4_K_XL.gguf -ngl 99 -c 16384 -ot ffn_.*_exps=CPU -fa -t 12",
        {
            "gpu_layers": 99,
            "context_size": 16384,
            "flash_attention": "on",
            "threads": 12,
            "override_tensors": ("ffn_.*_exps=CPU",),
        },
        (),
    ),
    (
        "5250",
        "llama-server -m Qwen3-235B-A22B-Q3_K_L.gguf -ngl 99 -fa -c 16384 -ot "
        r"'blk\.[0-9]\.ffn.*=CUDA0' -ot 'blk\.1[0-9]\.ffn.*=CUDA1' -ot exps=CPU --no-warmup",
        {
            "gpu_layers": 99,
            "flash_attention": "on",
            "context_size": 16384,
            "override_tensors": ("blk\\.[0-9]\\.ffn.*=CUDA0", "blk\\.1[0-9]\\.ffn.*=CUDA1", "exps=CPU"),
        },
        (),
    ),
    (
        "5400",
        "llama-server -m gemma-3-27b-it-qat-Q4_0.gguf --mmproj mmproj-gemma3.gguf -ngl 99 -c 16384 --no-mmproj-offload",
        {"mmproj": "mmproj-gemma3.gguf", "gpu_layers": 99, "context_size": 16384, "mmproj_device": "none"},
        (),
    ),
    (
        "5600",
        "llama-server -m gemma-3-27b-it-Q4_K_M.gguf --swa-full -c 32768 -ngl 99 -dev CUDA0,CUDA1 -sm layer",
        {
            "swa_full": True,
            "context_size": 32768,
            "gpu_layers": 99,
            "device_order": ("CUDA0", "CUDA1"),
            "split_mode": "layer",
        },
        (),
    ),
    (
        "5900",
        "llama-server -m Qwen3-30B-A3B-Q4_K_M.gguf --no-kv-offload -ngl 40 --no-op-offload -b 4096 -ub 4096 -c 40960",
        {
            "kv_offload": False,
            "gpu_layers": 40,
            "op_offload": False,
            "batch_size": 4096,
            "ubatch_size": 4096,
            "context_size": 40960,
        },
        (),
    ),
    (
        "6100",
        "llama-server -m gpt-oss-120b-mxfp4-00001-of-00003.gguf --n-cpu-moe 28 -ngl 99 -c 32768 -fa "
        "--jinja --reasoning-format none",
        {"n_cpu_moe": 28, "gpu_layers": 99, "context_size": 32768, "flash_attention": "on"},
        (),
    ),
    (
        "6200",
        "llama-server -m GLM-4.5-Air-Q4_K_M.gguf --cpu-moe -ngl 99 -c 65536 -kvu -np 2 -fa --alias glm",
        {
            "cpu_moe": True,
            "gpu_layers": 99,
            "context_size": 65536,
            "kv_unified": True,
            "parallel": 2,
            "flash_attention": "on",
        },
        (),
    ),
    (
        "6500",
        "llama-server -hf ggml-org/gpt-oss-20b-GGUF -fa on -c 0 --jinja -ub 2048 -b 2048 --no-mmproj",
        {"flash_attention": "on", "context_size": 0, "ubatch_size": 2048, "batch_size": 2048},
        (),
    ),
    (
        "6700",
        "llama-server -m Qwen3-Next-80B-Q4_K_M.gguf -fa on -ngl 99 -ncmoe 30 -c 131072 -ctk q8_0 -ctv "
        "q8_0 --metrics --slots",
        {
            "flash_attention": "on",
            "gpu_layers": 99,
            "n_cpu_moe": 30,
            "context_size": 131072,
            "cache_type_k": "q8_0",
            "cache_type_v": "q8_0",
        },
        (),
    ),
    (
        "7100",
        "llama-server -m a.gguf --fit-ctx 8192 -c 65536 --threads-batch 16 -np 1",
        {"context_size": 65536, "parallel": 1},
        (),
    ),
    (
        "7500",
        "llama-server -m Devstral-Small-2-24B-Q5_K_M.gguf --fit off -ngl 41 -ts 5,4 -c 49152 -fa auto --cache-ram 4096",
        {
            "gpu_layers": 41,
            "cache_ram_mib": 4096,
            "tensor_split": (5, 4),
            "context_size": 49152,
            "flash_attention": "auto",
        },
        (),
    ),
    (
        "7800",
        "llama-server -m Ministral-3-14B.gguf -fit on -fitt 512,1024 -c 32768 --webui --api-key-file key.txt",
        {"context_size": 32768},
        (),
    ),
    (
        "8100",
        "llama-server -m Qwen3-Coder-Next-Q4_K_M.gguf -ngl 100 -c 65536 -ub 2048 --n-cpu-moe 24 "
        "--no-webui --sleep-idle-seconds 300",
        {"gpu_layers": 100, "context_size": 65536, "ubatch_size": 2048, "n_cpu_moe": 24},
        (),
    ),
    (
        "8900",
        "llama-server -m Qwen3.6-27B-Q5_K_M.gguf -sm tensor -ngl 99 -c 32768 -ctk q8_0 -ctv q8_0 -fa on",
        {
            "split_mode": "tensor",
            "gpu_layers": 99,
            "context_size": 32768,
            "cache_type_k": "q8_0",
            "cache_type_v": "q8_0",
            "flash_attention": "on",
        },
        (),
    ),
    (
        "9300",
        "llama-server -m Qwen3.5-122B.gguf -md Qwen3.5-0.8B.gguf --spec-type draft-simple "
        "--spec-draft-n-max 8 --spec-draft-ngl 99 -devd CUDA1 -ngl 99 -c 16384",
        {
            "draft_model": "Qwen3.5-0.8B.gguf",
            "draft_gpu_layers": 99,
            "spec_type": "draft-simple",
            "spec_draft_n_max": 8,
            "draft_device_order": ("CUDA1",),
            "gpu_layers": 99,
            "context_size": 16384,
        },
        (),
    ),
    (
        "9800",
        "llama-server -m gemma-4-31b.gguf --mmproj-auto -mmdev CUDA1 -mm proj.gguf -ngl 99 -c 65536 -kvu -np 4",
        {
            "mmproj_device": "CUDA1",
            "mmproj": "proj.gguf",
            "gpu_layers": 99,
            "context_size": 65536,
            "kv_unified": True,
            "parallel": 4,
        },
        (),
    ),
    (
        "10200",
        "llama-server -m a.gguf --load-mode mmap+mlock -ngl 30 -dev CUDA1,CUDA0 -ts 10,20 -c 8192 "
        "--control-vector-layer-range 4 20",
        {
            "mmap": True,
            "gpu_layers": 30,
            "device_order": ("CUDA1", "CUDA0"),
            "tensor_split": (10, 20),
            "context_size": 8192,
        },
        (),
    ),
    (
        "11000",
        "llama-server -m a.gguf -ngl all -c 24576 -lm none -ncffn 3 -t 12 --ctx-checkpoints 8 --cache-reuse 256",
        {
            "gpu_layers": -2,
            "context_size": 24576,
            "ctx_checkpoints": 8,
            "mmap": False,
            "threads": 12,
            "override_tensors": (
                "blk\\.0\\.ffn_(up|down|gate)\\.=CPU",
                "blk\\.1\\.ffn_(up|down|gate)\\.=CPU",
                "blk\\.2\\.ffn_(up|down|gate)\\.=CPU",
            ),
        },
        (),
    ),
    (
        "11434",
        "llama-server -m a.gguf --n-gpu-layers auto --kv-unified-per-slot 8192 -np 3 --lazy-mode on --cors-origins '*'",
        {"gpu_layers": -1, "parallel": 3},
        (),
    ),
    (
        "11434",
        "llama-server -m a.gguf -ngl 50 -c 8192 --brand-new-flag 7 --rerank",
        {"gpu_layers": 50, "context_size": 8192},
        ("--brand-new-flag",),
    ),
)

KOBOLD: tuple[Posted, ...] = (
    (
        "1.50",
        "koboldcpp.exe --model mythomax-l2-13b.Q4_K_M.gguf --usecublas normal 0 mmq --gpulayers 43 "
        "--contextsize 4096 --threads 6 --smartcontext",
        {"context_size": 4096, "threads": 6, "gpu_layers": 43},
        (),
    ),
    (
        "1.52",
        "python3 koboldcpp.py --usecublas --gpulayers 20 --contextsize 8192 --blasbatchsize 256 "
        "--ropeconfig 1.0 32000 --model noromaid-13b.gguf",
        {"context_size": 8192, "gpu_layers": 20, "batch_size": 256},
        (),
    ),
    (
        "1.55",
        "koboldcpp.exe --useclblast 0 0 --gpulayers 15 --threads 8 --highpriority --model tiefighter.gguf",
        {"threads": 8, "gpu_layers": 15},
        (),
    ),
    (
        "1.58",
        "./koboldcpp-linux-x64 --model goliath-120b.Q2_K.gguf --usecublas rowsplit --tensor_split 24 "
        "24 --gpulayers 140 --contextsize 4096",
        {"context_size": 4096, "tensor_split": (24, 24), "split_mode": "layer", "gpu_layers": 140},
        (),
    ),
    (
        "1.61",
        "koboldcpp_rocm.exe --usecublas mmq --gpulayers 33 --contextsize 16384 --model x.gguf "
        "--mmproj llava.gguf --quiet",
        {"context_size": 16384, "gpu_layers": 33, "mmproj": "llava.gguf"},
        (),
    ),
    (
        "1.64",
        "koboldcpp.exe --model llama-3-8b.gguf --usevulkan 0 --gpulayers 33 --flashattention --contextsize 8192",
        {"context_size": 8192, "gpu_layers": 33, "flash_attention": "on"},
        (),
    ),
    (
        "1.67",
        "koboldcpp --model Fimbulvetr-11B.gguf --usecublas 0 --gpulayers 49 --flashattention "
        "--quantkv 1 --contextsize 16384",
        {
            "context_size": 16384,
            "gpu_layers": 49,
            "flash_attention": "on",
            "cache_type_k": "q8_0",
            "cache_type_v": "q8_0",
        },
        (),
    ),
    (
        "1.70",
        "koboldcpp.exe --model stheno.gguf --usecublas normal --gpulayers 99 --multiuser 5 "
        "--whispermodel w.bin --sdmodel sd.safetensors",
        {"gpu_layers": 99},
        (),
    ),
    (
        "1.72",
        "koboldcpp --model x.gguf --usecublas all --tensor_split 1.5 4.5 3 --gpulayers 40 "
        "--contextsize 4096 --noshift --nommap",
        {"context_size": 4096, "tensor_split": (1.5, 4.5, 3), "gpu_layers": 40, "mmap": False},
        (),
    ),
    (
        "1.74",
        "koboldcpp --usevulkan 0 1 --gpulayers 60 --tensor_split 8 16 --contextsize 12288 "
        "--blasbatchsize 1024 --model magnum-72b.gguf",
        {"context_size": 12288, "tensor_split": (8, 16), "gpu_layers": 60, "batch_size": 1024},
        (),
    ),
    (
        "1.76",
        "koboldcpp.exe --model m.gguf --usecublas lowvram --gpulayers 30 --contextsize 8192 --usemlock",
        {"context_size": 8192, "gpu_layers": 30, "kv_offload": False},
        (),
    ),
    (
        "1.79",
        "koboldcpp --model big.gguf --draftmodel small.gguf --draftamount 8 --usecublas --gpulayers "
        "65 --flashattention --contextsize 16384",
        {"context_size": 16384, "gpu_layers": 65, "flash_attention": "on", "draft_model": "small.gguf"},
        (),
    ),
    (
        "1.80",
        "koboldcpp --model big.gguf --draftmodel small.gguf --draftgpulayers 20 --draftgpusplit 1 0 "
        "--usecublas normal --gpulayers 65 --contextsize 8192",
        {"context_size": 8192, "gpu_layers": 65, "draft_model": "small.gguf", "draft_gpu_layers": 20},
        (),
    ),
    (
        "1.82",
        "koboldcpp --usecublas nommq --usemmap --gpulayers 41 --contextsize 10240 --quantkv 2 "
        "--flashattention --model m.gguf --chatcompletionsadapter a.json",
        {
            "context_size": 10240,
            "gpu_layers": 41,
            "flash_attention": "on",
            "mmap": True,
            "cache_type_k": "q4_0",
            "cache_type_v": "q4_0",
        },
        (),
    ),
    (
        "1.86.2",
        "koboldcpp-linux-x64 --usehipblas --gpulayers 30 --contextsize 8192 --model m.gguf --debugmode",
        {"context_size": 8192, "gpu_layers": 30},
        (),
    ),
    (
        "1.89",
        "koboldcpp --model Qwen3-30B-A3B.gguf --usecublas --gpulayers 99 --overridetensors "
        "ffn_.*_exps=CPU --contextsize 16384 --flashattention",
        {"context_size": 16384, "gpu_layers": 99, "flash_attention": "on", "override_tensors": ("ffn_.*_exps=CPU",)},
        (),
    ),
    (
        "1.92",
        "koboldcpp --model gemma-3-27b.gguf --usecublas --gpulayers 63 --useswa --noshift "
        "--contextsize 32768 --flashattention --blasbatchsize 2048",
        {"context_size": 32768, "gpu_layers": 63, "flash_attention": "on", "swa_full": False, "batch_size": 2048},
        (),
    ),
    (
        "1.93.2",
        "koboldcpp --model m.gguf --usecublas 1 --maingpu 0 --tensor_split 3 2 --gpulayers 48 "
        "--contextsize 8192 --onready x.sh",
        {"context_size": 8192, "tensor_split": (3, 2), "main_gpu": 0, "gpu_layers": 48},
        (),
    ),
    (
        "1.96",
        "koboldcpp.exe --usecuda 0 1 2 --gpulayers 40 --tensor_split 1.5 4.5 3 --contextsize 4096 "
        "--model Qwen2.5-32B.gguf",
        {"context_size": 4096, "tensor_split": (1.5, 4.5, 3), "gpu_layers": 40},
        (),
    ),
    (
        "1.97",
        "koboldcpp --usecuda --gpulayers 99 --moecpu 20 --contextsize 32768 --model glm-4.5-air.gguf --threads 12",
        {"context_size": 32768, "threads": 12, "gpu_layers": 99, "n_cpu_moe": 20},
        (),
    ),
    (
        "1.98.1",
        "koboldcpp --usecuda normal --gpulayers 99 --tensorsplit 10 12 --contextsize 65536 "
        "--blasbatchsize 4096 --model m.gguf",
        {"context_size": 65536, "tensor_split": (10, 12), "gpu_layers": 99, "batch_size": 4096},
        (),
    ),
    (
        "1.99.4",
        "koboldcpp -m m.gguf --usecuda -ngl 45 -c 8192 -ts 5 4 -ncmoe 8 -fa --no-mmap -t 6 -b 1024",
        {
            "context_size": 8192,
            "threads": 6,
            "tensor_split": (5, 4),
            "gpu_layers": 45,
            "flash_attention": "on",
            "mmap": False,
            "n_cpu_moe": 8,
            "batch_size": 1024,
        },
        (),
    ),
    (
        "1.101.1",
        "koboldcpp --usecuda --gpulayers 50 --lowvram --batchsize 512 --contextsize 20480 --model "
        "m.gguf --ttsmodel t.gguf --ttsgpu",
        {"context_size": 20480, "gpu_layers": 50, "kv_offload": False, "batch_size": 512},
        (),
    ),
    (
        "1.104",
        "koboldcpp --usecuda --autofit --contextsize 16384 --model m.gguf --pipelineparallel --flashattention",
        {"context_size": 16384, "flash_attention": "on"},
        (),
    ),
    (
        "1.108",
        "koboldcpp --usecuda --gpulayers -1 --contextsize 16384 --model m.gguf --noflashattention "
        "--autofitpadding 2048 --device CUDA0,CUDA1",
        {"context_size": 16384, "device_order": ("CUDA0", "CUDA1"), "gpu_layers": -1, "flash_attention": "off"},
        (),
    ),
    (
        "1.112",
        "koboldcpp --usecuda --gpulayers 60 --quantkv q8_0 --swapadding 128 --smartcache 4 "
        "--contextsize 24576 --model m.gguf",
        {"context_size": 24576, "gpu_layers": 60, "cache_type_k": "q8_0", "cache_type_v": "q8_0"},
        (),
    ),
    (
        "1.114",
        "koboldcpp --usecuda --gpulayers 60 --noswa --parallelrequests 4 --splitmode tensor "
        "--contextsize 32768 --model m.gguf",
        {"context_size": 32768, "parallel": 4, "split_mode": "tensor", "gpu_layers": 60, "swa_full": True},
        (),
    ),
    (
        "1.117",
        "koboldcpp --usecuda --gpulayers 49 --moecpu --usemtp --rpcmode connect --rpctargets "
        "192.168.1.5:5551 --contextsize 16384 --model m.gguf",
        {"context_size": 16384, "gpu_layers": 49, "n_cpu_moe": 200, "spec_type": "draft-mtp", "spec_draft_n_max": 4},
        (),
    ),
    (
        "1.123",
        "koboldcpp --usecuda --gpulayers 60 --batchsize 2048 --ubatchsize 512 --ffncpu 4 --directio "
        "--contextsize 300000 --model m.gguf",
        {
            "context_size": 300000,
            "gpu_layers": 60,
            "override_tensors": (
                "blk\\.0\\.ffn_(up|down|gate)\\.=CPU",
                "blk\\.1\\.ffn_(up|down|gate)\\.=CPU",
                "blk\\.2\\.ffn_(up|down|gate)\\.=CPU",
                "blk\\.3\\.ffn_(up|down|gate)\\.=CPU",
            ),
            "batch_size": 2048,
            "ubatch_size": 512,
        },
        (),
    ),
    (
        "1.123",
        "koboldcpp --usevulkan 1 --gpulayers 33 --contextsize 16384 --model m.gguf --agent --stream",
        {"context_size": 16384, "gpu_layers": 33},
        ("--stream",),
    ),
)
