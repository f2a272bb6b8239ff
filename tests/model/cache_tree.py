"""A made home with all the caches of the field, as their programs leave them behind, rubbish included."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from splitter.model.caches import Surroundings
from tests.model.gguf_files import write_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STALE = "f" * 40


@cache
def model_bytes() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return write_model(Path(folder) / "m.gguf").read_bytes()


@dataclass
class CacheTree:
    """Writes layouts below `root`; `around` is what the code under test is told about them."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    os: str = "linux"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def cwd(self) -> Path:
        return self.root / "work"

    @property
    def around(self) -> Surroundings:
        return Surroundings(self.home, self.cwd, self.environ, self.os, (self.root / "shared-ollama",))

    def model(self, path: Path) -> Path:
        return self.file(path, model_bytes())

    def file(self, path: Path, data: bytes = b"x") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def split(self, folder: Path, prefix: str, parts: int = 2) -> Path:
        """A true split set by GGUFWriter."""
        folder.mkdir(parents=True, exist_ok=True)
        write_model(folder / f"{prefix}.gguf", split_max_tensors=-(-7 // parts))
        return folder / f"{prefix}-00001-of-{parts:05d}.gguf"

    def hub(self, hub: Path, repo: str, *names: str, symlinks: bool = True) -> Path:
        """A repository of the hub cache; its snapshot's files are links to blobs, or (Windows) the files themselves."""
        folder = hub / ("models--" + repo.replace("/", "--"))
        self.file(folder / "refs" / "main", COMMIT.encode())
        snapshot = folder / "snapshots" / COMMIT
        for name in names:
            pointer = snapshot / name
            if symlinks:
                blob = self.model(folder / "blobs" / hashlib.sha256(f"{repo}/{name}".encode()).hexdigest())
                pointer.parent.mkdir(parents=True, exist_ok=True)
                pointer.symlink_to(Path(*[".."] * len(pointer.relative_to(folder).parts[:-1])) / "blobs" / blob.name)
            else:
                self.model(pointer)
        return snapshot

    def blob(self, store: Path, data: bytes) -> str:
        """A blob of Ollama's; returns its digest."""
        digest = hashlib.sha256(data).hexdigest()
        self.file(store / "blobs" / f"sha256-{digest}", data)
        return f"sha256:{digest}"

    def ollama(self, store: Path, name: str, digest: str, root: str = "manifests") -> Path:
        """A manifest as Ollama writes it: the model's layer among others."""
        layers = [
            {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + "0" * 64, "size": 5},
            {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": len(model_bytes())},
        ]
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                    "config": {"digest": "sha256:" + "1" * 64}, "layers": layers}  # fmt: skip
        return self.file(store / root / name, json.dumps(manifest).encode())


def full_tree(root: Path) -> CacheTree:
    """All five layouts, the current folder, and what must not be listed."""
    tree = CacheTree(root)
    cache_folder, studio = tree.home / ".cache", tree.home / ".lmstudio" / "models"
    flat = cache_folder / "llama.cpp"
    tree.model(flat / "ggml-org_gemma-3-1b-it-GGUF_gemma-3-1b-it-Q4_K_M.gguf")
    tree.file(flat / "ggml-org_gemma-3-1b-it-GGUF_gemma-3-1b-it-Q4_K_M.gguf.json", b"{}")
    tree.model(flat / "ggml-org_gemma-3-4b-it-GGUF_mmproj-model-f16.gguf")
    tree.file(flat / "bartowski_Qwen_Qwen3-8B-GGUF_Qwen3-8B-Q8_0.gguf.downloadInProgress")

    hub = cache_folder / "huggingface" / "hub"
    snapshot = tree.hub(hub, "unsloth/Qwen3-30B-A3B-GGUF", "Qwen3-30B-A3B-Q4_K_M.gguf", "mmproj-F16.gguf", "README.md")
    tree.split(snapshot / "BF16", "Qwen3-30B-A3B-BF16")
    tree.model(snapshot.parent / STALE / "Qwen3-30B-A3B-Q2_K.gguf")
    tree.file(snapshot.parents[1] / "blobs" / ("9" * 64 + ".incomplete"))
    (snapshot / "Qwen3-30B-A3B-Q8_0.gguf").symlink_to("../../blobs/gone")
    tree.hub(hub, "openai/whisper-tiny", "model.safetensors")
    tree.hub(hub, "mradermacher/copy-GGUF", "copy.Q6_K.gguf", symlinks=False)

    tree.model(studio / "lmstudio-community" / "Llama-3.2-1B-Instruct-GGUF" / "Llama-3.2-1B-Instruct-Q8_0.gguf")
    tree.file(studio / "lmstudio-community" / "Phi-4-GGUF" / "downloading_phi-4-Q4_K_M.gguf.part")
    tree.model(tree.home / ".cache" / "lm-studio" / "models" / "TheBloke" / "Old-GGUF" / "old.Q5_K_S.gguf")

    store = tree.home / ".ollama" / "models"
    digest = tree.blob(store, model_bytes())
    tree.ollama(store, "registry.ollama.ai/library/llama3.2/latest", digest)
    tree.ollama(store, "registry.ollama.ai/library/llama3.2/3b", digest)
    tree.ollama(store, "hf.co/bartowski/Tiny-GGUF/Q4_K_M", tree.blob(store, model_bytes() + b"\0"))
    tree.ollama(store, "registry.ollama.ai/library/pulling/1b", "sha256:" + "a" * 64)
    tree.file(store / "blobs" / ("sha256-" + "a" * 64 + "-partial"))

    kobold = tree.root / "apps" / "koboldcpp"
    tree.file(kobold / "koboldcpp-linux-x64").chmod(0o755)
    tree.model(kobold / "Tiefighter-13B.Q4_K_S.gguf")
    tree.environ["PATH"] = f"{tree.root / 'empty'}:{kobold}"

    tree.model(tree.cwd / "mine.gguf")
    tree.model(tree.cwd / "half.gguf")
    tree.file(tree.cwd / "half.gguf.aria2")
    tree.file(tree.cwd / "empty.gguf", b"")
    tree.split(tree.cwd / "big", "big-Q4_K_M", parts=3)
    return tree


def copy_without_links(tree: CacheTree, target: Path) -> CacheTree:
    """The tree as a file system without symbolic links holds it."""
    for broken in [path for path in tree.root.rglob("*") if path.is_symlink() and not path.exists()]:
        broken.unlink()
    shutil.copytree(tree.root, target)
    environ = {name: value.replace(str(tree.root), str(target)) for name, value in tree.environ.items()}
    return CacheTree(target, environ, tree.os)
