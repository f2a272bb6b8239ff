"""How people start an engine: the shapes seen in public threads, with the figures and names of our own.

(id, file name or "" for pasted text, text, what is read: model, settings, the devices on two CUDA cards)
"""

from typing import Any

BOTH = ("CUDA0", "CUDA1")
Shape = tuple[str, str, str, str | None, dict[str, Any], tuple[str, ...]]

IMAGE = "ghcr.io/ggml-org/llama.cpp:server-cuda"
SHAPES: list[Shape] = [
    (
        "docker-gpus-device",
        "",
        f"docker run --gpus device=1 -e LLAMA_ARG_CTX_SIZE=8192 -e LLAMA_ARG_N_GPU_LAYERS=40 {IMAGE} -m /models/x.gguf",
        "/models/x.gguf",
        {"context_size": 8192, "gpu_layers": 40},
        ("CUDA1",),
    ),
    (
        "docker-quoted-device-list",
        "",
        f"docker run -d --name llm --gpus '\"device=1,0\"' -v /srv/gguf:/models:ro -p 127.0.0.1:8080:8080 {IMAGE} "
        "-m /models/q/x.gguf -ngl 30 -ts 3,2",
        "/srv/gguf/q/x.gguf",
        {"gpu_layers": 30, "tensor_split": (3, 2)},
        ("CUDA1", "CUDA0"),
    ),
    (
        "docker-visible-devices",
        "",
        f"sudo docker run --rm -it --gpus=all -eCUDA_VISIBLE_DEVICES=1 -v ~/models:/models {IMAGE} -m /models/x.gguf",
        "~/models/x.gguf",
        {},
        ("CUDA1",),
    ),
    (
        "docker-within-the-container",
        "",
        f"docker run --gpus device=1 -e CUDA_VISIBLE_DEVICES=0 {IMAGE} -m /x.gguf --n-gpu-layers 9",
        "/x.gguf",
        {"gpu_layers": 9},
        ("CUDA1",),
    ),
    (
        "docker-count-and-full-image",
        "",
        "docker run --gpus 1 ghcr.io/ggml-org/llama.cpp:full-cuda --server -m /x.gguf -c 4096",
        "/x.gguf",
        {"context_size": 4096},
        ("CUDA0",),
    ),
    (
        "docker-runtime-and-entrypoint",
        "",
        "docker run --runtime nvidia -e NVIDIA_VISIBLE_DEVICES=0 --entrypoint /app/llama-server my/build:latest "
        "-m /x.gguf -ngl 5",
        "/x.gguf",
        {"gpu_layers": 5},
        ("CUDA0",),
    ),
    (
        "podman-cdi",
        "",
        "podman run --device nvidia.com/gpu=1 --security-opt=label=disable -v ./m:/m:Z "
        "ghcr.io/ggerganov/llama.cpp:server-cuda -m /m/x.gguf -ngl 12",
        "./m/x.gguf",
        {"gpu_layers": 12},
        ("CUDA1",),
    ),
    (
        "docker-koboldcpp-arguments",
        "",
        'docker run --gpus all -e KCPP_MODEL=/m/x.gguf -e KCPP_ARGS="--gpulayers 20 --contextsize 4096 --usecuda" '
        "koboldai/koboldcpp:latest",
        "/m/x.gguf",
        {"gpu_layers": 20, "context_size": 4096},
        BOTH,
    ),
    (
        "docker-shell-inside",
        "",
        "docker run --gpus all nvidia/cuda:12.4.0-runtime bash -c 'cd /app && ./llama-server -m /x.gguf -ngl 8'",
        "/x.gguf",
        {"gpu_layers": 8},
        BOTH,
    ),
    (
        "docker-shell-with-the-containers-variable",
        "",
        "docker run --gpus all -e M=/m/x.gguf img sh -c 'llama-server -m $M -c 8192'",
        "/m/x.gguf",
        {"context_size": 8192},
        BOTH,
    ),
    (
        "docker-shell-as-entrypoint",
        "",
        "docker run --gpus all --entrypoint /bin/ash img -c 'cd /app; ./llama-server -m /x.gguf -ngl 8'",
        "/x.gguf",
        {"gpu_layers": 8},
        BOTH,
    ),
    (
        "docker-mount-option",
        "",
        f"docker run --gpus all --mount type=bind,source=/data,target=/models {IMAGE} -m /models/x.gguf -c 2048",
        "/data/x.gguf",
        {"context_size": 2048},
        BOTH,
    ),
    ("env", "", "env -u LD_PRELOAD CUDA_VISIBLE_DEVICES=1 llama-server -m x.gguf -ngl 9", "x.gguf", {"gpu_layers": 9},
     ("CUDA1",)),
    ("env-split", "", "env -S 'CUDA_VISIBLE_DEVICES=0 nice' ./llama-server -m x.gguf", "x.gguf", {}, ("CUDA0",)),
    ("sudo-keeps", "", "CUDA_VISIBLE_DEVICES=1 sudo -E -u llm ./llama-server -m x.gguf", "x.gguf", {}, ("CUDA1",)),
    ("sudo-drops", "", "CUDA_VISIBLE_DEVICES=1 sudo ./llama-server -m x.gguf", "x.gguf", {}, BOTH),
    ("sudo-assigns", "", "sudo CUDA_VISIBLE_DEVICES=1 ./llama-server -m x.gguf", "x.gguf", {}, ("CUDA1",)),
    ("nohup", "", "nohup ./llama-server -m x.gguf -c 512 > out.log 2>&1 &", "x.gguf", {"context_size": 512}, BOTH),
    ("taskset", "", "taskset -c 0-7,16-23 llama-server -m x.gguf -t 8", "x.gguf", {"threads": 8}, BOTH),
    (
        "numactl-nice",
        "",
        "nice -n -5 numactl --interleave=all --cpunodebind 0 llama-server -m x.gguf --numa numactl -ngl 3",
        "x.gguf",
        {"gpu_layers": 3},
        BOTH,
    ),
    ("stdbuf-time", "", "time stdbuf -oL -e 0 llama-server -m x.gguf -ub 1024", "x.gguf", {"ubatch_size": 1024}, BOTH),
    ("timeout", "", "timeout -k 5 3600 llama-server -m x.gguf -np 2", "x.gguf", {"parallel": 2}, BOTH),
    (
        "systemd-run",
        "",
        "systemd-run --user --unit=llm -p MemoryMax=60G -E CUDA_VISIBLE_DEVICES=1 /opt/llama-server -m x.gguf -ngl 7",
        "x.gguf",
        {"gpu_layers": 7},
        ("CUDA1",),
    ),
    ("screen", "", "screen -dmS llm ./llama-server -m x.gguf -ngl 11", "x.gguf", {"gpu_layers": 11}, BOTH),
    (
        "tmux-new",
        "",
        "tmux new-session -d -s llm 'CUDA_VISIBLE_DEVICES=0 ./llama-server -m x.gguf -ngl 12'",
        "x.gguf",
        {"gpu_layers": 12},
        ("CUDA0",),
    ),
    ("tmux-keys", "", "tmux send-keys -t llm './llama-server -m x.gguf -np 3' Enter", "x.gguf", {"parallel": 3}, BOTH),
    ("bash-c", "", "bash -lc 'export CUDA_VISIBLE_DEVICES=1; exec llama-server -m x.gguf'", "x.gguf", {}, ("CUDA1",)),
    ("flock", "", "flock -n /tmp/l llama-server -m x.gguf -np 2", "x.gguf", {"parallel": 2}, BOTH),
    ("flock-line", "", "flock /tmp/l -c 'llama-server -m x.gguf -c 256'", "x.gguf", {"context_size": 256}, BOTH),
    ("ssh", "", "ssh -p 2222 me@box 'cd llama && ./llama-server -m x.gguf -ngl 4'", "x.gguf", {"gpu_layers": 4}, BOTH),
    ("wsl", "", "wsl -d Ubuntu -e /home/me/llama-server -m x.gguf -ngl 5", "x.gguf", {"gpu_layers": 5}, BOTH),
    ("nix", "", "nix run nixpkgs#llama-cpp -- -m x.gguf -ngl 6", "x.gguf", {"gpu_layers": 6}, BOTH),
    (
        "powershell-env",
        "",
        '$env:CUDA_VISIBLE_DEVICES="1"; .\\llama-server.exe -m C:\\m\\x.gguf -ngl 20 -ts 1,2',
        "C:\\m\\x.gguf",
        {"gpu_layers": 20, "tensor_split": (1, 2)},
        ("CUDA1",),
    ),
    (
        "powershell-backtick",
        "",
        '$model = "D:\\gguf\\x.gguf"\n& "C:\\Program Files\\llama\\llama-server.exe" `\n  --model $model `\n'
        "  --ctx-size 8192 `\n  --n-gpu-layers 25\n",
        "D:\\gguf\\x.gguf",
        {"context_size": 8192, "gpu_layers": 25},
        BOTH,
    ),
    (
        "powershell-start-process",
        "",
        "Start-Process -FilePath .\\llama-server.exe -ArgumentList '-m', 'x.gguf', '-ngl', '15' -NoNewWindow",
        "x.gguf",
        {"gpu_layers": 15},
        BOTH,
    ),
    (
        "powershell-start-process-line",
        "",
        'Start-Process koboldcpp.exe -ArgumentList "--model x.gguf --gpulayers 15 --usecuda --tensor_split 1 2"',
        "x.gguf",
        {"gpu_layers": 15, "tensor_split": (1, 2)},
        BOTH,
    ),
    (
        "powershell-splatting",
        "run.ps1",
        "$llamaArgs = @(\n  '-m', 'x.gguf'\n  '-c', '4096'  # context\n)\n& .\\llama-server.exe @llamaArgs\n",
        "x.gguf",
        {"context_size": 4096},
        BOTH,
    ),
    (
        "powershell-array-that-grows",
        "run.ps1",
        "$a = @('-m', 'x.gguf')\n$a += '-c', '4096'\n$a += '--no-mmap'\n& .\\llama-server.exe @a\n",
        "x.gguf",
        {"context_size": 4096, "mmap": False},
        BOTH,
    ),
    (
        "powershell-text-that-grows",
        "run.ps1",
        "$m = 'x'\n$m += '.gguf'\n& .\\llama-server.exe -m $m -ngl 7\n",
        "x.gguf",
        {"gpu_layers": 7},
        BOTH,
    ),
    (
        "shell-backticks-at-the-end-of-a-line",
        "",
        'D=`dirname "$0"`\nexec "$D/llama-server" -m "$D/x.gguf" \\\n  -ngl 9\n',
        "./x.gguf",
        {"gpu_layers": 9},
        BOTH,
    ),
    (
        "bash-suffix",
        "run.bash",
        "F=@(a)\nM=x.gguf\nllama-server -m $M \\\n  -ngl 9\n",
        "x.gguf",
        {"gpu_layers": 9},
        BOTH,
    ),
    (
        "cmd-set",
        "",
        "set CUDA_VISIBLE_DEVICES=1&& llama-server.exe -m x.gguf -ngl 31",
        "x.gguf",
        {"gpu_layers": 31},
        ("CUDA1",),
    ),
    ("cmd-c", "", 'cmd.exe /c "C:\\llama\\llama-server.exe" -m x.gguf -c 256', "x.gguf", {"context_size": 256}, BOTH),
    ("cmd-c-one-word", "", 'cmd /c "llama-server.exe -m x.gguf -c 256"', "x.gguf", {"context_size": 256}, BOTH),
    (
        "compose-list",
        "compose.yaml",
        """
services:
  web:
    image: ghcr.io/open-webui/open-webui:main
    ports: ["3000:8080"]
  llm:
    image: ghcr.io/ggml-org/llama.cpp:server-cuda
    volumes:
      - /srv/models:/models
    environment:
      LLAMA_ARG_CTX_SIZE: 16384
      LLAMA_ARG_FLASH_ATTN: on
      LLAMA_ARG_N_GPU_LAYERS: 33
    command: ["-m", "/models/x.gguf", "--port", "8000", "--host", "0.0.0.0"]
    deploy:
      resources:
        reservations:
          devices:
            - driver: nvidia
              device_ids: ["1"]
              capabilities: [gpu]
""",
        "/srv/models/x.gguf",
        {"context_size": 16384, "flash_attention": "on", "gpu_layers": 33},
        ("CUDA1",),
    ),
    (
        "compose-folded-line",
        "",
        """
services:
  llama:
    image: local/llama.cpp:server-cuda
    runtime: nvidia
    environment:
      - CUDA_VISIBLE_DEVICES=${GPU:-1,0}
    command: >
      -m /models/x.gguf
      --n-gpu-layers 99
      -ts 2,1
""",
        "/models/x.gguf",
        {"gpu_layers": 99, "tensor_split": (2, 1)},
        ("CUDA1", "CUDA0"),
    ),
    (
        "compose-entrypoint-and-count",
        "docker-compose.yml",
        """
services:
  llm:
    build: .
    entrypoint: ["/app/llama-server"]
    command: -m /x.gguf -np 2
    deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}
""",
        "/x.gguf",
        {"parallel": 2},
        ("CUDA0",),
    ),
    (
        "llama-swap",
        "config.yaml",
        """
healthCheckTimeout: 300
macros:
  server: /opt/llama/llama-server --port ${PORT} -fa on
  models: /srv/gguf
models:
  "big":
    cmd: |
      ${server}
      -m ${models}/x.gguf
      # the second card is for images
      -ngl 40 -ts 1,0
    env:
      - "CUDA_VISIBLE_DEVICES=0,1"
    ttl: 600
""",
        "/srv/gguf/x.gguf",
        {"flash_attention": "on", "gpu_layers": 40, "tensor_split": (1, 0)},
        BOTH,
    ),
    (
        "models-preset",
        "models.ini",
        "version = 1\n[*]\nctx-size = 8192   ; for all\nflash-attn = on\n\n[small]\nmodel = /m/x.gguf\nngl = 12\n"
        "no-mmap = true\nLLAMA_ARG_N_PARALLEL = 2\n",
        "/m/x.gguf",
        {"context_size": 8192, "flash_attention": "on", "gpu_layers": 12, "mmap": False, "parallel": 2},
        BOTH,
    ),
    (
        "systemd-unit",
        "llm.service",
        '[Service]\nEnvironment="CUDA_VISIBLE_DEVICES=1" LLAMA_ARG_CTX_SIZE=4096\n'
        "ExecStart=/usr/bin/env taskset -c 0-3 /opt/llama-server -m /m/x.gguf \\\n  -ngl 18\n",
        "/m/x.gguf",
        {"context_size": 4096, "gpu_layers": 18},
        ("CUDA1",),
    ),
    (
        "quadlet",
        "llm.container",
        "[Container]\nImage=ghcr.io/ggml-org/llama.cpp:server-cuda\nAddDevice=nvidia.com/gpu=0\nVolume=/srv:/m:Z\n"
        "Environment=LLAMA_ARG_CTX_SIZE=2048\nExec=-m /m/x.gguf -ngl 3\n",
        "/srv/x.gguf",
        {"context_size": 2048, "gpu_layers": 3},
        ("CUDA0",),
    ),
]  # fmt: skip
