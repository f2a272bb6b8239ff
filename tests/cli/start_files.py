"""Start files in the shapes that people post and publish, 2023 to 2026: koboldcpp's and llama.cpp's, 32 of them.

Words and names are ours; what varies is the shape: folders, variables, `start`, carets, labels, variants.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class StartFile:
    """`beside` are files next to it; `model` what the profile names (a file beside the script by its bare name);
    `lost` the flags that a profile has no word for, as they are named; `program` the engine beside the script."""

    text: str
    model: str
    lost: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    program: str | None = None
    kind: str = "koboldcpp"
    rig: tuple[str, ...] = ("--rig", "phoenix")
    extra: dict[str, object] = field(default_factory=dict)  # values of the profile that must be there


SEED = "koboldcpp.exe --usecuda 0 1 2 --gpulayers 40 --tensor_split 1.5 4.5 3 --contextsize 4096 --model m.gguf"
LLAMA = {"kind": "llama-server"}

FILES: dict[str, StartFile] = {
    "the seed's one line": StartFile(f"{SEED}\n", "m.gguf"),
    "with pause": StartFile(f"@echo off\ntitle My AI\n{SEED}\npause\n", "m.gguf"),
    "program beside it": StartFile(f"{SEED}\n", "m.gguf", beside=("koboldcpp.exe",), program="koboldcpp.exe"),
    "another variant beside it": StartFile(
        f"{SEED.replace('koboldcpp.exe', 'koboldcpp_cu12.exe')}\n",
        "m.gguf",
        beside=("koboldcpp_cu12.exe", "koboldcpp.exe"),
        program="koboldcpp_cu12.exe",
    ),
    "old computers' variant": StartFile(
        ".\\koboldcpp-oldpc.exe --usecublas normal 0 --gpulayers 20 --contextsize 2048 m.gguf\n",
        "m.gguf",
        beside=("koboldcpp-oldpc.exe",),
        program="koboldcpp-oldpc.exe",
    ),
    "cd /d to another drive": StartFile(f"@echo off\ncd /d D:\\kob\n{SEED}\n", "D:\\kob\\m.gguf"),
    "cd /d in quotes": StartFile(f'cd /d "D:\\my ai\\kob"\n{SEED}\n', "D:\\my ai\\kob\\m.gguf"),
    "drive letter, then cd": StartFile(f"D:\ncd \\kob\n{SEED}\n", "D:\\kob\\m.gguf"),
    "cd to its own folder": StartFile(f'cd /d "%~dp0"\n{SEED}\npause\n', "m.gguf"),
    "pushd and popd": StartFile(f"pushd E:\\llm\n{SEED}\npopd\n", "E:\\llm\\m.gguf"),
    "full paths": StartFile(
        '"C:\\Program Files\\koboldcpp\\koboldcpp.exe" --model "D:\\models\\m.gguf" --gpulayers 33 --usecublas '
        "--contextsize 8192 --port 5005\n",
        "D:\\models\\m.gguf",
        extra={"server.port": 5005},
    ),
    "variables": StartFile(
        "set GPU_LAYERS=25\nset CONTEXT_SIZE=4096\nset MODEL=m.gguf\n"
        "koboldcpp.exe --gpulayers %GPU_LAYERS% --usecublas --contextsize %CONTEXT_SIZE% %MODEL%\n"
        "if %errorlevel% neq 0 ( pause & exit /b 1 )\n",
        "m.gguf",
        extra={"settings.gpu_layers": 25, "settings.context_size": 4096},
    ),
    "quoted variables": StartFile(
        'set "LAYERS=12"\nset "CTX=2048"\n'
        'koboldcpp.exe --usecublas --gpulayers "%LAYERS%" --contextsize "%CTX%" m.gguf\n',
        "m.gguf",
        extra={"settings.gpu_layers": 12},
    ),
    "carets": StartFile(
        "koboldcpp.exe ^\n  --usecuda 0 1 2 ^\n  --gpulayers 40 ^\n  --tensor_split 1.5 4.5 3 ^\n"
        "  --contextsize 4096 ^\n  --model m.gguf\n",
        "m.gguf",
    ),
    "start": StartFile(f'start "kobold" {SEED}\n', "m.gguf"),
    "start minimised": StartFile(f'start "" /min /high {SEED}\nexit\n', "m.gguf"),
    "browser after a while": StartFile(
        f'start "" {SEED}\ntimeout /t 20 /nobreak >nul\nstart http://localhost:5001\n', "m.gguf"
    ),
    "--launch": StartFile(f"{SEED} --launch\n", "m.gguf", lost=("--launch",)),
    "many words that say nothing of memory": StartFile(
        f"{SEED} --multiuser 4 --smartcontext --websearch --onready notepad\n",
        "m.gguf",
        lost=("--multiuser 4", "--smartcontext", "--websearch", "--onready notepad"),
    ),
    "Vulkan": StartFile(
        "koboldcpp-nocuda.exe --usevulkan 0 --gpulayers 30 --contextsize 8192 --model m.gguf "
        "--quantkv 1 --flashattention\n",
        "m.gguf",
        rig=("--gpus", "rx 7900 xtx", "--backend", "vulkan"),
    ),
    "one of three cards": StartFile(
        "set CUDA_VISIBLE_DEVICES=1\nkoboldcpp.exe --usecublas --gpulayers 30 --contextsize 4096 --model m.gguf\n",
        "m.gguf",
        extra={"settings.device_order": ["CUDA1"]},
    ),
    "low VRAM, row split, threads, batch": StartFile(
        "koboldcpp.exe --usecublas lowvram --gpulayers 10 --threads 8 --blasbatchsize 256 --contextsize 2048 m.gguf\n",
        "m.gguf",
        extra={"settings.threads": 8},
    ),
    "remarks and labels": StartFile(
        ":: koboldcpp.exe --gpulayers 1 --model old.gguf\n"
        f"REM koboldcpp.exe --model older.gguf\n:again\n{SEED}\ngoto again\n",
        "m.gguf",
    ),
    "choice by existence": StartFile(
        "if exist koboldcpp.exe (\n  set EXE=koboldcpp.exe\n) else (\n  set EXE=koboldcpp_cu12.exe\n)\n"
        "%EXE% --usecublas --gpulayers 20 --contextsize 4096 --model m.gguf\n",
        "m.gguf",
    ),
    "koboldcpp.py": StartFile(
        "python koboldcpp.py --usecublas --gpulayers 20 --contextsize 4096 --model m.gguf\n", "m.gguf"
    ),
    "llama-server": StartFile(
        "llama-server.exe -m m.gguf -ngl 40 -ts 1.5,4.5,3 -c 8192 -fa on --port 8081\npause\n",
        "m.gguf",
        extra={"server.port": 8081, "settings.context_size": 8192},
        **LLAMA,  # type: ignore[arg-type]
    ),
    "llama-server, sampling and template": StartFile(
        "llama-server.exe -m m.gguf -ngl 99 -c 16384 -ctk q8_0 -ctv q8_0 -fa on "
        "--jinja --temp 0.7 --top-p 0.9 --alias me\n",
        "m.gguf",
        lost=("--jinja", "--temp 0.7", "--top-p 0.9", "--alias me"),
        **LLAMA,  # type: ignore[arg-type]
    ),
    "llama-server in a release folder": StartFile(
        "cd /d C:\\llama-b6500-bin-win-cuda-12.4-x64\nllama-server -m D:\\m\\m.gguf --n-gpu-layers 30 --ctx-size 4096 "
        "--split-mode layer -ts 1,1,1 --no-mmap --mlock --threads 6\n",
        "D:\\m\\m.gguf",
        lost=("--mlock",),
        extra={"settings.threads": 6},
        **LLAMA,  # type: ignore[arg-type]
    ),
    "llama-server with variables of the driver": StartFile(
        "@echo off\nsetlocal\nset CUDA_DEVICE_ORDER=PCI_BUS_ID\nset CUDA_VISIBLE_DEVICES=1,2\n"
        "llama-server.exe -m m.gguf -ngl 99 -ts 2,1 -c 8192 -np 1 -b 1024 -ub 256\nendlocal\n",
        "m.gguf",
        extra={"settings.device_order": ["CUDA1", "CUDA2"]},
        **LLAMA,  # type: ignore[arg-type]
    ),
    "llama-server, everybody may ask": StartFile(
        "start llama-server.exe --model m.gguf --gpu-layers 20 --ctx-size 4096 --host 0.0.0.0 "
        "--port 8000 --api-key secret\n",
        "m.gguf",
        lost=("--api-key",),
        extra={"server.host": "0.0.0.0", "server.port": 8000},
        **LLAMA,  # type: ignore[arg-type]
    ),
    "experts in RAM": StartFile(
        "llama-server.exe -m m.gguf -ngl 99 -ncmoe 20 -c 8192 -fa on -t 8\n",
        "m.gguf",
        **LLAMA,  # type: ignore[arg-type]
    ),
    "call of a full path in a subfolder": StartFile(
        'call "%~dp0runtime\\koboldcpp.exe" --model m.gguf --gpulayers 15 --usecublas --contextsize 4096\n',
        "m.gguf",
        beside=("runtime/koboldcpp.exe",),
        program="runtime/koboldcpp.exe",
    ),
}
