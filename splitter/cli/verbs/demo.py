"""`splitter demo`: the whole way on any machine, with the embedded engine and the example model."""

from typing import Annotated, Any

import typer

from splitter.app.answers import bench_data
from splitter.app.measuring import BenchWishes, bench_instance
from splitter.app.planning import plan_model
from splitter.app.wishes import Wishes
from splitter.bench.measure import Sweep
from splitter.bench.stopping import Stopping
from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.bench_record import record_view
from splitter.cli.views.plan import plan_view
from splitter.printable import printable_lines
from splitter.run.endpoint import any_free_port, ask
from splitter.run.supervisor import launch as start

EXAMPLES = """Example:

splitter demo   (no GPU, no engine and no download needed)
"""
PROMPT = "A card that is"
ANSWER_TOKENS = 48
MEASURED = BenchWishes(Sweep(n_prompt=256, n_generate=64, stopping=Stopping(repetitions=3)))


@with_options(OutputOptions)
def demo(
    report: OutputOptions,
    port: Annotated[int | None, typer.Option("--port", help="Port (default: any free one).", min=1, max=65535)] = None,
) -> None:
    """Show everything once, on any machine. Plan, launch, an answer, tokens per second."""
    output = Output("demo", as_json=report.json)
    wishes = Wishes({"server.port": port or any_free_port()}, profile="demo")
    output.show("1. The plan for this machine (embedded engine, example model)", "")
    planned = plan_model(wishes, output)
    output.show(*plan_view(planned.plan), "", "2. The command, launched and supervised")
    output.plain(planned.line)
    with start(planned.command) as instance:
        with output.step("loading the model"):
            instance.wait_ready()
        output.show("", f"3. Ready after {instance.ready_s or 0:.1f} s at {instance.url}; an answer to {PROMPT!r}:")
        answer = _answer(instance.url)
        output.plain(PROMPT + answer)
        output.show("", "4. Tokens per second")
        record = bench_instance(planned, instance, MEASURED, output)
        output.show(*record_view(record))
    output.show("", "The engine is stopped. Next: splitter plan YOUR-MODEL.gguf")
    output.data({"plan": planned.data(), "prompt": PROMPT, "answer": answer, "bench": bench_data(record)})


def _answer(url: str) -> str:
    body: dict[str, Any] = {"prompt": PROMPT, "n_predict": ANSWER_TOKENS, "temperature": 0}
    reply = ask(url, "/completion", body=body, timeout_s=120).json()
    return printable_lines(str(reply.get("content", ""))) if isinstance(reply, dict) else ""
