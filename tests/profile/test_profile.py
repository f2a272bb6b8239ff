"""Layers, sources, and the way from a profile to a planning task."""

from pathlib import Path

import pytest

from splitter.engine.supervision import Supervision
from splitter.errors import ProfileError
from splitter.folders import config_folder
from splitter.plan.request import Request
from splitter.profile.files import available, load_profile, shipped
from splitter.profile.profile import RigChoice, built_in, merge, to_request
from splitter.profile.schema import ValueLayer, read_layer
from splitter.units import MIB


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and project folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("APPDATA", str(tmp_path / "config"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    (config_folder() / "profiles").mkdir(parents=True)
    return tmp_path


def test_later_layers_win_and_every_value_names_its_source(home: Path) -> None:
    (config_folder() / "config.yaml").write_text("server: {port: 9000, host: '::1'}\nrig: mine\n")
    Path("splitter.yaml").write_text("goal: context\nserver:\n  port: 9001\n")
    profile = load_profile("phoenix", {"goal": "balanced"})
    user = str(config_folder() / "config.yaml")
    assert (profile.values["goal"].value, profile.values["goal"].source) == ("balanced", "command line")
    assert (profile.get("server.port"), profile.get("server.host")) == (5001, "127.0.0.1")
    assert profile.get("rig.name") == "phoenix"
    alone = load_profile(None)
    assert alone.values["server.port"].source == "splitter.yaml:3"
    assert alone.values["server.host"].source == f"{user}:1"
    assert alone.values["supervision.restart"].source == "built-in"


def test_a_higher_rig_replaces_the_lower_one_whole() -> None:
    profile = merge([ValueLayer("low", {"rig.name": "a"}), ValueLayer("high", {"rig.gpus": ("2080",)})], "p")
    assert to_request(profile).rig == RigChoice(gpus=("2080",))


def test_built_in_values_are_valid_and_make_a_task() -> None:
    layer = built_in()
    task = to_request(merge([layer], "default"))
    assert task.request == Request()
    assert task.supervision == Supervision()
    assert task.model is None


def test_settings_and_margins_reach_the_request() -> None:
    text = "margin_mib: [300, 512]\nsettings: {context_size: max, gpu_layers: 40, tensor_split: [1, 2], parallel: 1}"
    request = to_request(merge([built_in(), read_layer(text, "p")], "p")).request
    assert request.context_max
    assert request.fixed == {"gpu_layers": 40, "tensor_split": (1, 2), "parallel": 1}
    assert request.margin_bytes == (300 * MIB, 512 * MIB)


def test_more_shares_than_devices_are_refused() -> None:
    text = "settings: {tensor_split: [1, 2, 3], device_order: [CUDA0, CUDA1]}"
    with pytest.raises(ProfileError, match="3 shares for 2 devices"):
        to_request(merge([read_layer(text, "p")], "p"))


def test_shipped_profiles_load_and_plan(home: Path) -> None:
    names = {profile.name for profile in shipped()}
    assert {"phoenix", "demo"} <= names
    for profile in shipped():
        assert profile.description
        assert to_request(load_profile(profile.name)).model


def test_phoenix_is_the_seed() -> None:
    task = to_request(load_profile("phoenix"))
    assert task.engine.kind == "koboldcpp"
    assert task.rig.name == "phoenix"
    assert task.request.fixed == {"context_size": 4096}
    assert task.model is not None
    assert task.model.endswith("Qwen2.5-32B-Instruct-Q4_K_M.gguf")


def test_demo_uses_the_example_model_wherever_it_is_started(home: Path) -> None:
    model = to_request(load_profile("demo")).model
    assert model is not None
    assert Path(model).is_absolute()
    assert Path(model).is_file()


def test_paths_count_from_the_profiles_folder(home: Path) -> None:
    folder = home / "elsewhere"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(b"GGUF")
    (folder / "p.yaml").write_text("model: m.gguf\nrig: {file: missing.yaml}\n")
    profile = load_profile(str(folder / "p.yaml"))
    assert profile.get("model") == str((folder / "m.gguf").resolve())
    assert profile.get("rig.file") == "missing.yaml"


def test_the_users_profile_hides_the_shipped_one_of_its_name(home: Path) -> None:
    (config_folder() / "profiles" / "phoenix.yaml").write_text("description: my own\n")
    (config_folder() / "profiles" / "broken.yaml").write_text("modell: x\n")
    listed = {profile.name: profile for profile in available()}
    assert listed["phoenix"].origin == "user"
    assert "unknown key 'modell'" in listed["broken"].error
    assert load_profile("phoenix").get("description") == "my own"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("phenix", "no profile called 'phenix'", "did you mean phoenix?"),
        ("zzz", "no profile called 'zzz'", "known: demo"),
        ("./nope.yaml", "no profile file ./nope.yaml", "splitter profile list"),
    ],
)
def test_missing_profiles(home: Path, name: str, message: str, hint: str) -> None:
    with pytest.raises(ProfileError) as caught:
        load_profile(name)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_binary_and_unreadable_files(home: Path) -> None:
    Path("b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="not UTF-8"):
        load_profile("./b.yaml")
    Path("bom.yaml").write_bytes(b"\xef\xbb\xbfgoal: context\r\n")
    assert load_profile("./bom.yaml").get("goal") == "context"
