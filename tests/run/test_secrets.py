"""No secret in a log: every form in which engines print one, and every place that a line goes to."""

import io
import sys
from pathlib import Path

import pytest

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.masking import masked, masked_argv, masker, secrets_in
from splitter.run.log_file import LogFile, numbered
from splitter.run.log_reader import tail
from splitter.run.process import LONGEST_LINE, LONGEST_READ, Process, hidden, text_lines

KEY = "hunter2-geheim"
LINES = (
    f"Namespace(model=['x.gguf'], password='{KEY}', adminpassword=None, hordekey='', port=5001)",
    f"Namespace(password='it\\'s {KEY}', port=1)",
    f'Namespace(password="it\'s {KEY}", port=1)',
    f"Namespace(adminpassword='{KEY}', hordekey='{KEY}', agent_api_key='{KEY}')",
    f'{{"api_key": "{KEY}", "n": 1}}',
    f"{{'api-key': '{KEY}'}}",
    f"LLAMA_API_KEY={KEY}",
    f"export KCPP_PASSWORD={KEY}; koboldcpp",
    f"set KCPP_ADMINPASSWORD={KEY}",
    f"environ({{'LLAMA_API_KEY': '{KEY}', 'HOME': '/root'}})",
    f"HF_TOKEN={KEY}",
    f"OPENAI_API_KEY: {KEY}",
    f"Authorization: Bearer {KEY}",
    f"authorization: Basic {KEY}",
    f"{{'Authorization': 'Bearer {KEY}'}}",
    f"X-Api-Key: {KEY}",
    f"llama-server --api-key {KEY} --port 1",
    f"llama-server --api-key={KEY},{KEY}",
    f"['koboldcpp', '--password', '{KEY}', '--port', '1']",
    f"--api-key 'two words {KEY}' -c 1",
    f"-hft {KEY} -m x",
    f"srv  init: api_keys: ****{KEY[-4:]} {KEY and ''}",
    f"downloading https://user:{KEY}@example.org/x.gguf",
    f"GET /v1/models?api_key={KEY}&x=1",
    f"GET /v1/models?key={KEY}",
    f"Namespace(password='{KEY}",  # cut off
    "token hf_" + "a" * 30,
)


@pytest.mark.parametrize("line", LINES)
def test_every_form_is_masked(line: str) -> None:
    shown = masked(line)
    assert KEY not in shown
    assert "hf_aaa" not in shown
    assert "***" in shown
    assert masked(shown) == shown


@pytest.mark.parametrize(
    "line",
    [
        "llama_model_loader: - kv   5: tokenizer.ggml.eos_token_id u32 = 2",
        "print_info: EOS token        = 2 '</s>'",
        "slot update_slots: n_tokens = 5, progress = 1.0",
        "llama-server --api-key-file /etc/key --port 1",
        "Namespace(password=None, adminpassword='', port=5001)",
        "attn_key_length = 128, key: f16, K (f16): 832.00 MiB",
        "usage: koboldcpp [--password [API key]] [--port [portnumber]]",
        "Please connect to custom endpoint at http://localhost:5001",
        "prompt eval time = 2.00 ms / 4 tokens ( 0.50 ms per token, 2000 t/s)",
    ],
)
def test_other_lines_stay_as_they_are(line: str) -> None:
    assert masked(line) == line


def test_a_known_secret_is_hidden_wherever_it_stands() -> None:
    hide = masker({"KEY ONE", "abc", 'q"x\\'})
    assert hide('login KEY ONE, abc, abcd, {"k": "q\\"x\\\\"} KEY%20ONE') == 'login ***, ***, abcd, {"k": "***"} ***'


def test_arguments() -> None:
    argv = ("e", "--api-key", "s3cret", "--password=s3cret", "-c", "1")
    assert masked_argv(argv) == ("e", "--api-key", "***", "--password=***", "-c", "1")
    assert secrets_in(argv) == {"s3cret"}


def test_what_a_command_and_its_environment_hide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first key\nsecond-key\nab\n", encoding="utf-8")
    monkeypatch.setenv("HF_TOKEN", "from-outside")
    monkeypatch.setenv("KEYTIMEOUT", "10000")
    command = EngineCommand(
        EngineRef("llama-server"), ("e", "--api-key", "in-argv"), {}, Server(api_key_file=str(keys))
    )
    assert {"first key", "second-key", "from-outside", "in-argv"} <= hidden(command)
    assert not {"ab", "10000"} & hidden(command)


def test_a_line_that_never_ends_is_cut_between_words() -> None:
    """No secret lies on a cut: the last word before it goes with the next piece."""
    head = "x " * (LONGEST_READ // 2 - 10)
    lines = list(text_lines(io.BytesIO(f"{head}password='{KEY}' {'y' * 100}\n".encode())))
    assert KEY not in "".join(lines)
    assert max(map(len, lines)) <= LONGEST_LINE
    assert "".join(lines).endswith("y" * 100)


def test_of_a_progress_line_the_last_state_remains() -> None:
    raw = (
        b"Processing (1 / 9 tokens)\rProcessing (9 / 9 tokens)\r\n\rGenerating (1 / 8 tokens)\rGenerating (8 / 8)\n\r\n"
    )
    assert list(text_lines(io.BytesIO(raw))) == ["Processing (9 / 9 tokens)", "Generating (8 / 8)", ""]


def test_log_files_listeners_and_old_files_hold_none(tmp_path: Path) -> None:
    """Also when the log is rotated again and again, and in a file that an older splitter wrote."""
    key = tmp_path / "key"
    key.write_text("plain word\n", encoding="utf-8")
    script = "\n".join(
        ("import os", "for i in range(400):", f"    print({LINES[0]!r}, os.environ['KCPP_PASSWORD'], i)")
    )
    command = EngineCommand(
        EngineRef("koboldcpp"), (sys.executable, "-c", script), {}, Server(), env_files={"KCPP_PASSWORD": str(key)}
    )
    heard: list[str] = []
    path = tmp_path / "a.log"
    log = LogFile(path)

    def both(line: str) -> None:
        heard.append(line)
        log.write(line)

    process = Process(command, on_line=both)
    process._popen.wait()
    process._waiter.join(10)
    assert len(heard) == len(process.lines()) == 400
    files = "\n".join(file.read_text(encoding="utf-8") for file in tmp_path.glob("a.log*"))
    for said in ("\n".join(heard), "\n".join(process.lines()), files):
        assert KEY not in said
        assert "plain word" not in said
        assert "password='***'" in said
    old = LogFile(tmp_path / "old.log", max_bytes=300, files=3)
    for line in LINES:
        old.write(line)
    old.close()
    assert numbered(old.path, 1).exists()
    assert KEY in old.path.read_text(encoding="utf-8") + numbered(old.path, 1).read_text(encoding="utf-8")
    assert KEY not in "\n".join(tail(old.path, 1000)[0])
