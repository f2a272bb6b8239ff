"""Nothing is lost between Ollama's interface and OpenAI's: thinking, tools, images, schemas."""

import json

from splitter.gateway.call import read_body
from splitter.gateway.figures import figures_of_tail
from splitter.gateway.ollama import OllamaVoice, chat_call, embed_call, generate_call

PNG = "iVBORw0KGgoAAAANSUhEUg"
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def test_a_chat_with_everything_in_it() -> None:
    call = chat_call(
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "what is this?", "images": [PNG]},
                {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
                    {"function": {"name": "weather", "arguments": {"city": "Bern"}}}]},
                {"role": "tool", "content": "sun", "tool_name": "weather"},
            ],
            "tools": [TOOL],
            "format": {"type": "object"},
            "think": True,
            "stream": False,
            "options": {"num_predict": 7, "temperature": 0, "num_ctx": 99, "stop": ["x"]},
        },
        0.0,
    )  # fmt: skip
    body = call.body
    assert (body["max_tokens"], body["temperature"], body["stop"], body["tools"]) == (7, 0, ["x"], [TOOL])
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    user, assistant, tool = body["messages"]
    assert user["content"][1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    assert assistant["reasoning_content"] == "hm"
    made = assistant["tool_calls"][0]
    assert json.loads(made["function"]["arguments"]) == {"city": "Bern"}
    assert tool["tool_call_id"] == made["id"]
    assert call.vision
    assert not call.stream


def test_tools_and_thinking_come_back_as_ollama_says_them() -> None:
    voice = OllamaVoice("m", 0.0)
    said = voice.piece({"choices": [{"delta": {"reasoning_content": "hm"}}]})
    assert json.loads(said)["message"] == {"role": "assistant", "content": "", "thinking": "hm"}
    for part in ({"name": "weather", "arguments": '{"ci'}, {"arguments": 'ty": "Bern"}'}):
        assert voice.piece({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": part}]}}]}) == b""
    call, end = voice.end({"output_tokens": 3, "output_ms": 2.0}).splitlines()
    assert json.loads(call)["message"]["tool_calls"] == [
        {"function": {"name": "weather", "arguments": {"city": "Bern"}}}
    ]
    assert (json.loads(end)["done"], json.loads(end)["eval_count"], json.loads(end)["eval_duration"]) == (
        True,
        3,
        2000000,
    )


def test_generate_and_embed() -> None:
    call = generate_call({"model": "m", "prompt": "p", "system": "s", "options": {"num_predict": -1}}, 0.0)
    assert [message["role"] for message in call.body["messages"]] == ["system", "user"]
    assert "max_tokens" not in call.body
    assert call.stream
    assert generate_call({"model": "m", "prompt": "p", "raw": True}, 0.0).path == "/v1/completions"
    assert embed_call({"model": "m", "input": ["a", "b"]}, 0.0).body["input"] == ["a", "b"]


def test_an_openai_body_reaches_the_backend_as_it_is() -> None:
    from splitter.gateway.call import CHAT, call_of
    from splitter.gateway.voice import OPENAI

    raw = b'{ "model":"m", "messages":[{"role":"user","content":"\\u00e9"}], "anything": [1.50] }'
    call = call_of(CHAT, read_body(raw), OPENAI, raw=raw)
    assert call.to_backend("m", {}) == raw
    assert json.loads(call.to_backend("other", {}))["anything"] == [1.5]


def test_the_figures_of_a_stream() -> None:
    tail = (
        b'x"}\n\ndata: {"choices":[{"finish_reason":"length","delta":{}}],'
        b'"timings":{"cache_n":5,"prompt_n":10,"prompt_ms":2.0,"predicted_n":3,"predicted_ms":4.0}}\n\ndata: [DONE]\n\n'
    )
    told = figures_of_tail(tail, 5)
    assert (told.prompt_tokens, told.cached_tokens, told.output_tokens, told.reason) == (15, 5, 3, "length")
    assert figures_of_tail(b"data: [DONE]\n\n", 12).output_tokens == 10
