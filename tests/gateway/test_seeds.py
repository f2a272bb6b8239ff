"""The commands that people wrote (seeds 000, 003 and 004), word for word, through the gateway."""

import json
import re
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

import splitter
from tests.gateway.conftest import House
from tests.gateway.scene import gateway, opened, wait_up

CURLS = {
    8000: [
        r"""curl -X POST http://localhost:8000/chat/ \
     -H "Content-Type: application/json" \
     -d '{"prompt": "Explain distributed computing in simple terms."}'
"""
    ],
    4000: [
        r"""curl -X POST http://localhost:4000/inference \
  -H "Content-Type: application/json" \
  -d '{
    "model": "llama3.2",
    "prompt": "Explain quantum computing",
    "priority": "high",
    "stream": false
  }'
""",
        "curl http://localhost:4000/inference/{job-id}/status",
        "curl http://localhost:4000/inference/models",
        "curl http://localhost:4000/inference/queue",
        r"""curl -X POST http://localhost:4000/ollama/api/generate \
  -H "Content-Type: application/json" \
  -d '{
    "model": "llama3.2",
    "prompt": "What is the capital of France?",
    "stream": false
  }'
""",
        r"""curl -X POST http://localhost:4000/ollama/api/chat \
  -H "Content-Type: application/json" \
  -d '{
    "model": "llama3.2",
    "messages": [
      {"role": "user", "content": "Hello!"}
    ],
    "stream": false
  }'
""",
        "curl http://localhost:4000/ollama/api/tags",
    ],
}
EXAMPLE = """
from distributed_llm import DistributedClient

# Connect to the coordinator
client = DistributedClient(coordinator_address="192.168.1.100:5555")

# Generate text
response = client.generate(
    prompt="Explain quantum computing in simple terms",
    max_new_tokens=500,
    temperature=0.7
)

print(response)
"""


def curl(line: str) -> dict[str, object]:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=True)
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_seed_000_and_004(house: House, tmp_path: Path) -> None:
    if any(map(taken, CURLS)):
        pytest.skip("port 8000 or 4000 is used by somebody else")
    told = "".join(f"  - {{name: {name}, url: '{url}'}}\n" for name, url in (
        ("windows", house.llama.url), ("kali", house.kobold.url), ("laptop", house.embedded.url)))  # fmt: skip
    settings = f"limits: {{output_tokens: 64}}\naliases: {{llama3.2: tiny}}\nbackends:\n{told}"
    with ExitStack() as stack:
        first, second = opened(
            stack,
            *(gateway(tmp_path, port=port, settings=settings, name=f"gw{port}") for port in CURLS),
        )
        wait_up(first.url, 3)
        wait_up(second.url, 3)
        data = curl(CURLS[8000][0])["data"]
        assert isinstance(data, dict)
        assert data["response"]
        assert data["node"] in {"windows", "kali", "laptop"}
        inference, status, models, queue, generate, chat, tags = CURLS[4000]
        done = curl(inference)["data"]
        assert isinstance(done, dict)
        assert (done["status"], bool(done["response"])) == ("completed", True)
        said = curl(status.replace("{job-id}", str(done["id"])))["data"]
        assert isinstance(said, dict)
        assert (said["status"], said["priority"], said["id"]) == ("completed", "high", done["id"])
        listed = curl(models)["data"]
        assert isinstance(listed, dict)
        assert any("tiny" in row["name"] for row in listed["models"])
        waiting = curl(queue)["data"]
        assert isinstance(waiting, dict)
        assert waiting["waiting"] == 0
        assert curl(generate)["response"]
        message = curl(chat)["message"]
        assert isinstance(message, dict)
        assert message["content"]
        tagged = curl(tags)["models"]
        assert isinstance(tagged, list)
        assert tagged


def test_seed_003_with_our_client(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """Its example, with our class in place of its own and the address of this house."""
    ours = EXAMPLE.replace(
        "from distributed_llm import DistributedClient", "from splitter import Client as DistributedClient"
    )
    ours = re.sub(r"192\.168\.1\.100:5555", house.url.removeprefix("http://"), ours)
    exec(compile(ours, "seed 003", "exec"), {})
    assert len(capsys.readouterr().out.split()) > 3


def test_the_client(house: House) -> None:
    client = splitter.Client(house.url)
    assert any("tiny" in name for name in client.models())
    assert client.queue()["waiting"] == 0
    answer = client.chat([{"role": "user", "content": "Hello!"}], model="llama3.2", max_new_tokens=8, temperature=0)
    assert answer
    assert "".join(client.stream("Hello!", model="tiny", max_new_tokens=8, temperature=0)) == answer
    with pytest.raises(splitter.SplitterError) as raised:
        client.generate("x", model="gpt-17")
    assert "gpt-17" in raised.value.message
    with pytest.raises(splitter.SplitterError) as raised:
        splitter.Client("127.0.0.1:9").models()
    assert "splitter gateway" in raised.value.hint
