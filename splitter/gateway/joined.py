"""What an engine tells of itself when it enters a gateway: read with bounds."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from splitter.gateway.call import BadRequestError
from splitter.printable import printable

Short = Annotated[str, Field(min_length=1, max_length=200)]
Speed = Annotated[float, Field(gt=0, lt=1e7, allow_inf_nan=False)]


class Member(BaseModel):
    """POST /nodes/join. Its address is the one that it asks from; it names its port alone, so that nothing else can be
    reached."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,80}$")]
    port: Annotated[int, Field(ge=1, le=65535)]
    scheme: Literal["http", "https"] = "http"
    models: Annotated[list[Short], Field(max_length=16)] = []
    engine: Annotated[str, Field(max_length=40)] | None = None
    version: Annotated[str, Field(max_length=80)] | None = None
    slots: Annotated[int, Field(ge=1, le=1024)] | None = None
    context_size: Annotated[int, Field(ge=1, le=1 << 31)] | None = None
    api_key: Annotated[str, Field(max_length=1024)] | None = None
    prompt_tokens_per_s: Speed | None = None
    generation_tokens_per_s: Speed | None = None
    rig: Annotated[list[Short], Field(max_length=32)] = []
    plan: Annotated[str, Field(max_length=4000)] | None = None

    def facts(self) -> dict[str, Any]:
        """What is shown of it: never its key, nothing that steers a terminal."""
        shown = self.model_dump(exclude={"api_key", "port", "scheme", "name", "slots", "models"}, exclude_none=True)
        return {key: _clean(value) for key, value in shown.items()}


def read_member(body: Any) -> Member:
    """BadRequestError names the first field that is wrong, and never its value."""
    try:
        return Member.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))[:80]
        raise BadRequestError(f"wrong heartbeat: {where}: {first['msg'][:120]}", 422) from None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value, 4000)
    return [printable(item, 200) for item in value] if isinstance(value, list) else value
