"""What a file is that is not GGUF, told from its first bytes."""

from dataclasses import dataclass

MAGIC_BYTES = 64


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file for the sentence "FILE is <name>, not a GGUF model", and what to do about it."""

    name: str
    hint: str


GET_GGUF = "Get the GGUF version of the model, or convert it with llama.cpp's convert_hf_to_gguf.py."
DOWNLOAD_AGAIN = "Download the file again."
UNPACK = "Unpack it first."

SIGNATURES: tuple[tuple[bytes, FileKind], ...] = (
    (b"lmgg", FileKind("a GGML file of 2023", GET_GGUF)),
    (b"fmgg", FileKind("a GGML (ggmf) file of 2023", GET_GGUF)),
    (b"tjgg", FileKind("a GGML (ggjt) file of 2023", GET_GGUF)),
    (b"algg", FileKind("a GGML LoRA adapter of 2023", GET_GGUF)),
    (b"PK\x03\x04", FileKind("a ZIP archive or a PyTorch checkpoint", GET_GGUF)),
    (b"\x80\x02", FileKind("a Python pickle (an old PyTorch checkpoint)", GET_GGUF)),
    (b"\x89HDF", FileKind("an HDF5 file", GET_GGUF)),
    (b"\x1f\x8b", FileKind("a gzip archive", UNPACK)),
    (b"\x28\xb5\x2f\xfd", FileKind("a Zstandard archive", UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", FileKind("a 7-Zip archive", UNPACK)),
    (
        b"version https://git-lfs",
        FileKind("a Git LFS pointer", "Run `git lfs pull` in that folder, or download the file."),
    ),
    (b"MZ", FileKind("a Windows program", "Give the model file.")),
    (b"\x7fELF", FileKind("a program", "Give the model file.")),
)
WEB_PAGE = FileKind(
    "a web page", "The download saved a page instead of the model (a login or an error): download it again."
)
UNKNOWN = FileKind("a file of unknown kind", "Check the name; a model for llama.cpp or koboldcpp ends in .gguf.")


def foreign_kind(head: bytes, size_bytes: int) -> FileKind:
    """The kind of a file of `size_bytes` bytes that starts with `head` (its first 64 bytes or all of them)."""
    if size_bytes == 0:
        return FileKind("empty", DOWNLOAD_AGAIN)
    for signature, kind in SIGNATURES:
        if head.startswith(signature):
            return kind
    if head.lstrip()[:14].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return WEB_PAGE
    if head[8:10] in (b'{"', b"{ ", b"{\n") and int.from_bytes(head[:8], "little") < size_bytes:
        return FileKind("a safetensors file", GET_GGUF)
    if not head.strip(b"\0"):
        return FileKind("full of zeros (a download that only reserved its space)", DOWNLOAD_AGAIN)
    return UNKNOWN
