"""The lines in which engines tell how long a finished request took -> values. Pure.

llama-server (embedded too) prints a line for the prompt and one for the answer, in this order; newer
builds name the task on each, older ones on the line before. koboldcpp prints one line with both; before 1.112 it does
not say how many tokens the prompt had, before 1.86 it may not say how many it generated. Requests that it batches
(--parallelrequests) get a line of another form, which names the request and not the prompt's time.
"""

import re
from dataclasses import dataclass

EVAL = re.compile(r"(prompt )?(?:generation )?eval time *= *([\d.]+) ms / *(\d+) (?:tokens|runs)")
TASK = re.compile(r"\btask (\d+) \|")
# Printed once at the end of the process, about everything together.
TOTALS = ("llama_perf", "llama_print_timings", "common_perf")
GENERATED = re.compile(r"Generated:(\d+)/\d+ in ([\d.]+)s|Amt:(\d+)/\d+.*Generate:([\d.]+)s")
PROCESSED = re.compile(r"Processed:(\d+) in ([\d.]+)s")
BATCHED = re.compile(
    r"BatchRequest:(\d{1,18})\b.*?Prompt:(\d{1,18})(?: in ([\d.]{1,18})s)?"
    r".*?Generated:(\d{1,18})/\d{1,18} in ([\d.]{1,18})s"
)


@dataclass(frozen=True, slots=True)
class Timing:
    """`tokens` in `seconds` (None: not told) for the prompt of a request, or for its answer, which ends it; `task` is
    the engine's own name for the request."""

    prompt: bool
    tokens: int
    seconds: float | None
    task: int | None = None


def timings(line: str) -> tuple[Timing, ...]:
    """What a line tells, () for most lines."""
    if "eval time" in line:
        return _llama(line)
    if "BatchRequest:" in line:
        return _batched(line)
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


def _batched(line: str) -> tuple[Timing, ...]:
    found = BATCHED.search(line)
    if found is None:
        return ()
    task, prompt_s = int(found[1]), float(found[3]) if found[3] else None
    return Timing(True, int(found[2]), prompt_s, task), Timing(False, int(found[4]), float(found[5]), task)
