"""Models of true size that an engine loads and generates from: public models' shapes, a vocabulary, zeros for weights.

Speed of generation depends on how many bytes are read, not on their values; the file is a hole, so it costs no disk.
"""

from pathlib import Path

from gguf import TokenType

from tests.engine.skeletons import MODELS

END = "<|end|>"
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
# GPT-2's character for each byte: itself where printable, else the next one from U+0100 on.
PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = [*map(chr, PRINTABLE), *(chr(256 + i) for i in range(256 - len(PRINTABLE)))]


def write_heavy(name: str, folder: Path) -> Path:
    """Writes the model `name` of tests/engine/skeletons.py with a byte vocabulary, padded with words nobody says."""
    model = MODELS[name](name)
    tokens = [*BYTES, *(f"<{i}>" for i in range(len(BYTES), model.vocabulary - 1)), END]
    model.writer.kv_data[0].pop("tokenizer.ggml.model")
    model.writer.add_tokenizer_model("gpt2")
    model.writer.add_tokenizer_pre("gpt-2")
    model.writer.add_token_list(tokens)
    model.writer.add_token_types([*[TokenType.NORMAL] * (len(tokens) - 1), TokenType.CONTROL])
    model.writer.add_token_merges(["a b"])
    model.writer.add_eos_token_id(len(tokens) - 1)
    model.writer.add_bos_token_id(len(tokens) - 1)
    model.writer.add_add_bos_token(False)
    model.writer.add_chat_template(CHAT_TEMPLATE)
    folder.mkdir(parents=True, exist_ok=True)
    return model.write(folder)
