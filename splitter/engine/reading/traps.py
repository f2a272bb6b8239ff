"""What is wrong with a command that somebody wrote: every trap with its code, sentence and remedy. Pure."""

from collections.abc import Iterable, Iterator

from splitter.engine.engines import ENGINES
from splitter.engine.reading.case import Case, Trap
from splitter.engine.reading.complete import Completed
from splitter.engine.reading.split_traps import SPLIT_TRAPS
from splitter.engine.reading.value import ReadCommand
from splitter.memory.settings import Settings
from splitter.plan.plan import Notice, Plan
from splitter.rig.device import Rig

# Costliest first: what stops the engine, fills or idles a card, answers strangers, then what only costs speed.
COSTLIEST = """
unknown_flag flag_removed flag_too_new flash_attention_value fit_value equals_sign glued_value split_mode_row
split_commas gpulayers_word usecuda_id context_range batch_size quantkv_word quantised_v_without_flash
tensor_without_flash quantkv_without_flash config_file fork sudo_environment container_without_gpu env_file rpc_left_out
number_cut experts_pile_up usecuda_one_card visible_overwritten usecuda_ids autofit_drops_split auto_layers_split
split_too_long split_too_short split_order cuda_order fit_gives_up fit_decides autofit_decides auto_layers_guess
bare_gpulayers draft_without_type draft_beside_projector extra_models mmproj_auto context_divided context_default
open_to_network key_in_argv share_zero idle_device memory_wasted output_on_weakest override_stops_pipeline
split_rounding
"""
LOOPBACK = ("127.", "localhost", "::1", "[::1]")


def find_traps(
    read: ReadCommand, settings: Settings, plan: Plan | None, rig: Rig, *, version: str | None = None
) -> tuple[Notice, ...]:
    """The traps in `read`, whose complete form is `settings` and whose effect on `rig` is `plan`.

    Without a plan (the model is not at hand) the traps that need one are left out.
    """
    case = Case(read, settings, rig, plan, version)
    own = ENGINES[read.kind].traps()
    return tuple(notice for trap in (*own, *SPLIT_TRAPS, *SAFETY_TRAPS) for notice in trap(case))


def all_findings(
    read: ReadCommand, completed: Completed, plan: Plan | None, rig: Rig, *, version: str | None = None
) -> tuple[Notice, ...]:
    """Everything to tell the user, gravest first: refusals of the engine, notes of the reader, traps."""
    traps = find_traps(read, completed.settings, plan, rig, version=version)
    return (*read.refusals, *read.notices, *completed.notices, *traps)


def costliest_first(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """`notices` in the order of what they cost; those of unknown cost stand between hindrances and habits."""
    rank = {code: index for index, code in enumerate(COSTLIEST.split())}
    middle = rank["open_to_network"]
    return tuple(sorted(notices, key=lambda notice: rank.get(notice.code, middle)))


def open_to_network(case: Case) -> Iterator[Notice]:
    """Beyond loopback anybody may use the engine unless it asks for a key."""
    host, read = case.read.server.host, case.read
    keys = {"api_key", "api_key_file", "password"} & set(read.flags) or {"LLAMA_API_KEY", "KCPP_PASSWORD"} & set(
        read.env
    )
    container = read.around.container
    if keys or host.startswith(LOOPBACK) or host.endswith(".sock") or (container and container.is_local()):
        return
    where = f"on {host}" if host else "on all interfaces (koboldcpp's default)"
    first = "publish it with -p 127.0.0.1:PORT:PORT" if container else "add --host 127.0.0.1"
    remedy = "set KCPP_PASSWORD" if case.kobold else "use --api-key-file FILE"
    yield Notice("open_to_network", f"the server listens {where} without a key", f"{first}, or {remedy}")


def key_in_argv(case: Case) -> Iterator[Notice]:
    """Every user of the machine can read other processes' arguments."""
    flag = "--password" if case.kobold else "--api-key"
    if case.read.flags.get(flag[2:].replace("-", "_")):
        remedy = "set KCPP_PASSWORD in the environment (1.111.1 or newer)" if case.kobold else "use --api-key-file FILE"
        yield Notice("key_in_argv", f"{flag} shows the key to everybody who can list processes", remedy)


SAFETY_TRAPS: tuple[Trap, ...] = (open_to_network, key_in_argv)
