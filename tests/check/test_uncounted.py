"""Every flag that the reader of llama-server knows is modelled, named in a warning, or without a part in memory."""

from splitter.engine.llama_server import values
from splitter.engine.llama_server.flags import flags_by_name, known_flags
from splitter.engine.llama_server.uncounted import UNCOUNTED, uncounted
from splitter.engine.reading.case import Case
from splitter.engine.reading.command import read_command
from splitter.memory.settings import Settings
from tests.check.builders import rig

# Read for something else than memory, or another finding's business (fit, -hf, rpc: traps and remote.py).
ELSEWHERE = frozenset(
    """
    help version list_devices threads_batch rpc mlock direct_io override_tensor n_cpu_ffn fit fit_target fit_ctx model
    model_url docker_repo hf_repo hf_file kv_unified_per_slot mmproj_auto host port api_key api_key_file web_ui
    cors_origins control_vector_layer_range spec_type
""".split()  # noqa: SIM905
)


def test_no_flag_with_a_meaning_is_ignored() -> None:
    modelled = set(values._READERS)
    named = {flag.dest for flag in known_flags()}
    assert named - modelled - set(UNCOUNTED) == ELSEWHERE


def test_the_table_names_flags_that_exist() -> None:
    spelled = set(flags_by_name()) | {flag.dest for flag in known_flags()}
    assert set(UNCOUNTED) <= spelled


def messages(flags: str) -> list[str]:
    read = read_command(f"llama-server -m x.gguf -ngl 99 {flags}")
    settings = Settings(context_size=4096, gpu_layers=99, device_order=("CUDA0",))
    return [notice.message for notice in uncounted(Case(read, settings, rig()))]


def test_a_flag_left_out_is_named() -> None:
    found = messages("--lora a.gguf --embedding")
    assert [message.partition(":")[0] for message in found] == ["--embedding", "--lora"]
    assert messages("--temp 0.5 --jinja") == []


def test_memory_that_spills_is_named() -> None:
    read = read_command("GGML_CUDA_ENABLE_UNIFIED_MEMORY=1 llama-server -m x.gguf -ngl 99")
    settings = Settings(context_size=4096, gpu_layers=99, device_order=("CUDA0",))
    assert [n.code for n in uncounted(Case(read, settings, rig()))] == ["unified_memory_spill"]
