"""The lines in which engines tell how long a finished request took -> values. Pure.

llama-server (embedded too) prints a line for the prompt and one for the answer, in this order; newer
builds name the task on each, older ones on the line before. koboldcpp prints one line with both; before 1.112 it does
not say how many tokens the prompt had, before 1.86 it may not say how many it generated.
"""

import re
from dataclasses import dataclass

EVAL = re.compile(r"(prompt )?(?:generation )?eval time *= *([\d.]+) ms / *(\d+) (?:tokens|runs)")
TASK = re.compile(r"\btask (\d+) \|")
# Printed once at the end of the process, about everything together.
TOTALS = ("llama_perf", "llama_print_timings", "common_perf")
GENERATED = re.compile(r"Generated:(\d+)/\d+ in ([\d.]+)s|Amt:(\d+)/\d+.*Generate:([\d.]+)s")
PROCESSED = re.compile(r"Processed:(\d+) in ([\d.]+)s")


@dataclass(frozen=True, slots=True)
class Timing:
    """`tokens` in `seconds` for the prompt of a request, or for its answer, which ends it; `task` is /slots' name."""

    prompt: bool
    tokens: int
    seconds: float
    task: int | None = None


def timings(line: str) -> tuple[Timing, ...]:
    """What a line tells, () for most lines."""
    if "eval time" in line:
        return _llama(line)
    return _koboldcpp(line) if "CtxLimit:" in line else ()


def task_in(line: str) -> int | None:
    """The task that a line of llama-server is about."""
    found = TASK.search(line) if "task " in line else None
    return int(found[1]) if found else None


def _llama(line: str) -> tuple[Timing, ...]:
    found = EVAL.search(line)
    if found is None or any(word in line for word in TOTALS):
        return ()
    return (Timing(found[1] is not None, int(found[3]), float(found[2]) / 1000, task_in(line)),)


def _koboldcpp(line: str) -> tuple[Timing, ...]:
    prompt, answer = PROCESSED.search(line), GENERATED.search(line)
    told = [Timing(True, int(prompt[1]), float(prompt[2]))] if prompt else []
    if answer:
        told.append(Timing(False, int(answer[1] or answer[3]), float(answer[2] or answer[4])))
    return tuple(told)
