"""The official clients run their usual calls through the gateway: openai, ollama, and ollama's for JavaScript."""

import json
import subprocess
from pathlib import Path

import ollama
import openai
import pytest

from tests.gateway.conftest import House

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
HELLO = [{"role": "user", "content": "Hello!"}]
SCRIPT = """
import { Ollama } from 'ollama'
const ollama = new Ollama({ host: process.argv[2] })
const options = { num_predict: 6, temperature: 0 }
const messages = [{ role: 'user', content: 'Hello!' }]
const whole = await ollama.chat({ model: 'llama3.2', messages, options })
let streamed = '', last
for await (const part of await ollama.chat({ model: 'llama3.2', messages, options, stream: true })) {
  streamed += part.message.content
  last = part
}
const generated = await ollama.generate({ model: 'llama3.2', prompt: 'Hello!', options })
const embedded = await ollama.embed({ model: 'llama3.2', input: ['a', 'b'] })
const listed = await ollama.list()
const shown = await ollama.show({ model: 'llama3.2' })
const running = await ollama.ps()
console.log(JSON.stringify({
  whole: whole.message.content, streamed, done: last.done, count: last.eval_count, generated: generated.response,
  vectors: embedded.embeddings.length, models: listed.models.length, abilities: shown.capabilities,
  running: running.models.length,
}))
"""


@pytest.fixture
def client(house: House) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{house.url}/v1", api_key="none", max_retries=0)


def test_openai(client: openai.OpenAI) -> None:
    assert any("tiny" in model.id for model in client.models.list())
    asked = {"model": "tiny", "messages": HELLO, "max_tokens": 6, "temperature": 0}
    whole = client.chat.completions.create(**asked)  # type: ignore[call-overload]
    assert whole.choices[0].message.content
    stream = client.chat.completions.create(**asked, stream=True)  # type: ignore[call-overload]
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == whole.choices[0].message.content
    assert client.completions.create(model="tiny", prompt="Hello", max_tokens=3).choices[0].text is not None


def test_openai_tools_schemas_and_embeddings(client: openai.OpenAI) -> None:
    """A tool that must be called is, with arguments of its schema; only llama-server and its kin can: koboldcpp's
    stand-in ignores both, so they are asked by name."""
    called = client.chat.completions.create(
        model="tiny", messages=HELLO, tools=[TOOL], tool_choice="required", max_tokens=64,  # type: ignore[call-overload]
        extra_headers={"X-Priority": "high"},
    )  # fmt: skip
    calls = called.choices[0].message.tool_calls
    if calls:  # a tiny model may not end its arguments within 64 tokens
        assert calls[0].function.name == "weather"
    vectors = client.embeddings.create(model="nomic-embed-text", input=["a", "b"])
    assert len(vectors.data) == 2
    assert len(vectors.data[0].embedding) > 8


def test_openai_errors_are_its_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="gpt-17", messages=HELLO)  # type: ignore[arg-type]
    assert "gpt-17" in str(raised.value)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="tiny", messages=[])


def test_ollama(house: House) -> None:
    client = ollama.Client(house.url)
    options = {"num_predict": 6, "temperature": 0}
    whole = client.chat("llama3.2", HELLO, options=options)
    assert whole.message.content
    assert whole.done
    assert whole.eval_count
    pieces = list(client.chat("llama3.2", HELLO, options=options, stream=True))
    assert "".join(piece.message.content or "" for piece in pieces) == whole.message.content
    assert pieces[-1].done_reason == "length"
    assert client.generate("llama3.2", "Hello!", options=options).response
    assert "".join(p.response or "" for p in client.generate("llama3.2", "Hello!", options=options, stream=True))
    assert len(client.embed("llama3.2", ["a", "b"]).embeddings) == 2
    assert client.list().models
    assert client.show("llama3.2").capabilities
    assert client.ps().models
    with pytest.raises(ollama.ResponseError):
        client.chat("gpt-17", HELLO)


def test_ollama_schema_and_tools(house: House) -> None:
    client = ollama.Client(house.url)
    said = client.chat("llama3.2", HELLO, format=SCHEMA, options={"num_predict": 32, "temperature": 0})
    assert said.message.content is not None
    client.chat("llama3.2", HELLO, tools=[TOOL], options={"num_predict": 8})


def test_ollama_of_javascript(house: House, tmp_path: Path) -> None:
    """`npm install ollama`, then its calls."""
    installed = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "ollama"], cwd=tmp_path,
                               capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    if installed.returncode:
        pytest.skip(f"npm could not install ollama: {installed.stderr[-200:]}")
    (tmp_path / "calls.mjs").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(["node", "calls.mjs", house.url], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["streamed"] == said["whole"]
    assert (said["done"], said["vectors"]) == (True, 2)
    assert said["count"] > 0  # an engine that tells no count: its events are counted
    assert said["generated"]
    assert said["models"] >= 1
    assert said["running"] >= 1
