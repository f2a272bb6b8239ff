"""A client of `splitter gateway`, of the standard library alone: `splitter.Client("http://gateway:8000")`.

Programs that speak OpenAI's or Ollama's interface use those libraries instead.
"""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from splitter.errors import SplitterError, UsageError

PORT = 8000


class GatewayError(SplitterError):
    """The gateway refused, failed or cannot be reached. `status` is HTTP's; None: no answer."""

    code = "gateway"

    def __init__(self, message: str, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint)
        self.status = status


class Client:
    """One gateway. `url` is `http://host:port` or `host:port`; `key` is what `splitter gateway key add` made."""

    def __init__(
        self,
        url: str | None = None,
        *,
        coordinator_address: str | None = None,
        key: str | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        """`coordinator_address` is another name of `url`; `timeout_s` bounds each silence."""
        address = url or coordinator_address or f"127.0.0.1:{PORT}"
        parts = urlsplit(address if "://" in address else f"http://{address}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"{address!r} is not the address of a gateway", "write it like http://127.0.0.1:8000")
        self._parts, self._key, self._timeout_s = parts, key, timeout_s

    def generate(
        self, prompt: str, *, model: str | None = None, max_new_tokens: int | None = None, **options: Any
    ) -> str:
        """The answer to one prompt. `options`: temperature, top_p, seed, stop, priority, timeout, system, ...

        GatewayError for a refusal, with the gateway's own sentence.
        """
        return self.chat([{"role": "user", "content": prompt}], model=model, max_new_tokens=max_new_tokens, **options)

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        max_new_tokens: int | None = None,
        **options: Any,
    ) -> str:
        """The answer to a conversation."""
        body = {**options, "messages": list(messages), "model": model, "max_tokens": max_new_tokens}
        return str(self._page("/inference", body)["response"])

    def stream(
        self,
        prompt: str | Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        max_new_tokens: int | None = None,
        **options: Any,
    ) -> Iterator[str]:
        """The answer to a prompt or a conversation, piece by piece. GatewayError also where it is cut."""
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        body = {**options, "messages": messages, "model": model, "max_tokens": max_new_tokens, "stream": True}
        ended = False
        with self._asked("/inference", body) as response:
            for line in response:
                event = json.loads(line) if line.strip() else {}
                if event.get("error"):
                    raise GatewayError(str(event["error"]), "ask again", 502)
                ended = ended or bool(event.get("done"))
                if text := event.get("response"):
                    yield str(text)
        if not ended:
            raise GatewayError("the answer was cut", "ask again")

    def models(self) -> list[str]:
        """The names of the models that are ready."""
        return [row["name"] for row in self._page("/inference/models")["models"] if row["ready"]]

    def queue(self) -> dict[str, Any]:
        """Who waits and who is at work: `waiting`, `running`, `by_priority`, `slots`, ..."""
        return self._page("/inference/queue")

    def _page(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        with self._asked(path, body) as response:
            data = json.loads(response.read())["data"]
        if not isinstance(data, dict):
            raise GatewayError("this is not a splitter gateway", "check the address")
        return data

    @contextmanager
    def _asked(self, path: str, body: Mapping[str, Any] | None) -> Iterator[http.client.HTTPResponse]:
        """An answer with status 200, while it is read."""
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        host, port = str(self._parts.hostname), self._parts.port
        connection = kinds[self._parts.scheme](host, port, timeout=self._timeout_s)
        headers = {
            "Content-Type": "application/json",
            **({"Authorization": f"Bearer {self._key}"} if self._key else {}),
        }
        given = None if body is None else json.dumps({k: v for k, v in body.items() if v is not None})
        try:
            connection.request("GET" if given is None else "POST", self._parts.path.rstrip("/") + path, given, headers)
            response = connection.getresponse()
            if response.status != 200:
                raise _refusal(response.status, response.read())
            yield response
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            message = f"the gateway at {self._parts.netloc} does not answer: {type(error).__name__}"
            raise GatewayError(message, "start one: splitter gateway") from None
        finally:
            connection.close()


def _refusal(status: int, raw: bytes) -> GatewayError:
    try:
        message = str(json.loads(raw)["errors"][0]["message"])
    except (ValueError, KeyError, IndexError, TypeError):
        message = f"it answered {status}"
    hint = (
        "ask again later"
        if status in {429, 502, 503}
        else "a key is needed: Client(url, key=...)"
        if status == 401
        else ""
    )
    return GatewayError(message, hint, status)
