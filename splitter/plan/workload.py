"""Workload: what one turn of a conversation is made of, for the plan to make it short."""

import re
from dataclasses import dataclass

from splitter.errors import UsageError


@dataclass(frozen=True, slots=True)
class Workload:
    """`prompt_tokens` in and `generated_tokens` out with `depth_tokens` in the cache already."""

    prompt_tokens: int
    generated_tokens: int
    depth_tokens: int = 0

    def within(self, context_size: int) -> "Workload":
        """The same turn in a context of `context_size` tokens: less is in the cache, then the prompt is shorter."""
        depth = max(min(self.depth_tokens, context_size - self.prompt_tokens - self.generated_tokens), 0)
        prompt = min(self.prompt_tokens, max(context_size - self.generated_tokens, 1))
        return Workload(prompt, self.generated_tokens, depth)

    def generation_depth(self) -> int:
        """Tokens in the cache when half of the answer is generated."""
        return self.depth_tokens + self.prompt_tokens + self.generated_tokens // 2

    def prompt_depth(self) -> int:
        """Tokens in the cache when half of the prompt is processed."""
        return self.depth_tokens + self.prompt_tokens // 2


WORKLOADS = {
    "chat": Workload(1024, 256, 2048),
    "agent": Workload(8192, 512, 16384),
    "rag": Workload(4096, 256, 0),
    "writing": Workload(256, 2048, 4096),
}
CHAT = WORKLOADS["chat"]
MOST_TOKENS = 10**7


def read_workload(text: str) -> Workload:
    """`chat`, `agent`, `rag`, `writing`, or IN:OUT[@DEPTH] in tokens; UsageError for anything else."""
    named = WORKLOADS.get(text.strip().lower())
    if named:
        return named
    match = re.fullmatch(r"(\d+):(\d+)(?:@(\d+))?", text.strip())
    numbers = tuple(int(part) for part in match.groups(default="0")) if match else ()
    if not numbers or numbers[0] < 1 or numbers[1] < 1 or max(numbers) > MOST_TOKENS:
        names = ", ".join(WORKLOADS)
        raise UsageError(
            f"'{text}' is not a workload", f"use {names}, or tokens in and out such as 4096:512 or 4096:512@8192"
        )
    return Workload(*numbers)
