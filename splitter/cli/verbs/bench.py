"""`splitter bench`: tokens per second of a running server, or of a plan launched for the purpose."""

from typing import Annotated

import typer

from splitter.cli.options import (
    EngineOptions,
    FlagOptions,
    GoalOptions,
    MarginOptions,
    OutputOptions,
    RigOptions,
    ServerOptions,
    with_options,
)
from splitter.cli.output import Output
from splitter.errors import UsageError

EXAMPLES = """Examples:

splitter bench model.gguf   (plans, launches, measures, stops)

splitter bench --url http://127.0.0.1:8080 --prompt-tokens 2048 --generate 256 --repetitions 5
"""


@with_options(RigOptions, EngineOptions, MarginOptions, GoalOptions, FlagOptions, ServerOptions, OutputOptions)
def bench(
    devices: RigOptions,
    engine: EngineOptions,
    margin: MarginOptions,
    goal: GoalOptions,
    flags: FlagOptions,
    server: ServerOptions,
    report: OutputOptions,
    model: Annotated[str | None, typer.Argument(help="GGUF file, hf:OWNER/REPO[/FILE], or URL.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="A running server.", metavar="U")] = None,
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", help="Tokens of the prompt.", min=1)] = 512,
    generate: Annotated[int, typer.Option("--generate", help="Tokens to generate.", min=1)] = 128,
    repetitions: Annotated[int, typer.Option("--repetitions", "-r", help="Measured repetitions.", min=1)] = 3,
) -> None:
    """Measure prompt and generation tokens per second and the time to the first token."""
    from splitter.bench.measure import measure
    from splitter.bench.result import BenchResult
    from splitter.cli.session import Wishes, prove_if_possible, resolve, solve
    from splitter.cli.views.bench import bench_data, bench_view
    from splitter.engine.command import Server
    from splitter.run.endpoint import read_key
    from splitter.run.supervisor import launch as start

    output = Output("bench", as_json=report.json)

    def timed(address: str, server: Server) -> BenchResult:
        with output.progress(f"measuring {address}"):
            return measure(
                address,
                api_key=read_key(server),
                n_prompt=prompt_tokens,
                n_generate=generate,
                repetitions=repetitions,
            )

    if url:
        if model or goal.profile:
            raise UsageError("--url measures a running server and takes no model", "leave out MODEL and --profile")
        result = timed(url, Server(api_key_file=server.api_key_file))
    else:
        wishes = Wishes(devices, engine, margin, goal, flags, server)
        planned = prove_if_possible(solve(resolve(model, wishes, output, local=True), output), output)
        with start(planned.command) as instance:
            with output.progress("loading the model"):
                instance.wait_ready()
            result = timed(instance.url, planned.command.server)
    output.show(*bench_view(result))
    output.data(bench_data(result))
