"""The table, the look-up order, and reading files that may be damaged or hostile."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from artcli import weights
from artcli.errors import UsageError, WeightsError
from artcli.fetch import sha256_of
from artcli.weights import File, Weight, describe, find, load_state, locate, open_safetensors, table, verify
from tests.test_weights_fetch import CONTENT, SHA, serving


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine: no bundled weights, no cache, no settings."""
    monkeypatch.setattr(weights, "bundled_dir", lambda: tmp_path / "bundled")
    monkeypatch.setenv("ARTGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("ARTGEN_WEIGHTS", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def publish(monkeypatch: pytest.MonkeyPatch, url: str, size: int = len(CONTENT), sha256: str = SHA) -> None:
    """Make the public table one row that `url` serves."""
    row = Weight("net", "net", "MIT", (File("net.bin", size, sha256, urls=(url,)),))
    monkeypatch.setattr(weights, "PUBLIC", (row,))


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def bundle(home: Path, **files: bytes) -> Path:
    """A bundled model `mini` of these files, with its manifest."""
    for name, content in files.items():
        put(home / "bundled" / "mini" / name, content)
    entry = {"files": describe(home / "bundled" / "mini"), "kind": "clip", "licence": "MIT", "data": "ours"}
    (home / "bundled" / "manifest.json").write_text(json.dumps({"mini": entry}))
    return home / "bundled" / "mini"


def test_public_rows_are_whole():
    assert len({weight.name for weight in weights.PUBLIC}) == len(weights.PUBLIC)
    for weight in weights.PUBLIC:
        for file in weight.files:
            assert all(url.startswith("https://") for url in file.urls)
            if weight.kind == "vqgan":  # their publishers state neither size nor hash
                continue
            assert file.bytes and file.sha256 is not None and len(file.sha256) == 64
            assert all(url.endswith(file.path) for url in file.urls)


def test_torchvision_rows_are_those_of_torchvision():
    from torchvision.models import MobileNet_V2_Weights, SqueezeNet1_1_Weights, VGG19_Weights

    enums = {"vgg19": VGG19_Weights, "squeezenet1_1": SqueezeNet1_1_Weights, "mobilenet_v2": MobileNet_V2_Weights}
    for name, enum in enums.items():
        assert table()[name].files[0].urls == (enum.IMAGENET1K_V1.url,)


def test_the_manifest_of_this_tree_is_valid():
    for weight in table().values():
        if weight.bundled:
            verify(weight)


def test_look_up_order(home, monkeypatch):
    publish(monkeypatch, "http://127.0.0.1:1/net.bin")
    explicit, first, second = home / "explicit", home / "first", home / "second"
    explicit.mkdir()
    monkeypatch.setenv("ARTGEN_WEIGHTS", os.pathsep.join([str(first), str(second)]))
    for folder in (home / "cache" / "weights", home / "bundled", second, first, explicit):
        path = put(folder / "net.bin")
        assert find("net", weights_dirs=[explicit]) == path


def test_one_file_or_the_folder_of_several(home):
    folder = bundle(home, one=b"1")
    assert find("mini") == folder / "one"
    assert bundle(home, one=b"1", two=b"22") == folder
    assert find("mini") == folder
    assert table()["mini"].bytes == 3


def test_paths_and_files_in_given_folders(home):
    mine = put(home / "given" / "mine.safetensors")
    assert find(str(mine)) == mine
    assert find("mine.safetensors", weights_dirs=[home / "given"]) == mine


@pytest.mark.parametrize("name", ["vgg91", "", "missing/file.pth"])
def test_unknown_name(home, name):
    with pytest.raises(UsageError, match=r"neither a file nor known weights.*vgg19, squeezenet1_1") as caught:
        find(name)
    assert ("Did you mean 'vgg19'?" in str(caught.value)) == (name == "vgg91")


def test_given_folder_must_exist(home):
    with pytest.raises(UsageError, match="no such folder"):
        find("vgg19", weights_dirs=[home / "typo"])


def test_downloads_on_demand(home, monkeypatch):
    with serving() as site:
        publish(monkeypatch, site.url)
        path = find("net")
        assert path == home / "cache" / "weights" / "net.bin"
        assert find("net", offline=True) == path
        assert len(site.asked) == 1


@pytest.mark.parametrize("options", [{"offline": True}, {"fetch": False}])
def test_missing_says_what_where_and_how(home, options):
    with pytest.raises(WeightsError) as caught:
        find("vgg19", **options)
    message = str(caught.value)
    cache = home / "cache" / "weights"
    assert "\n" not in message
    assert f"vgg19-dcbb9e9d.pth was looked for in {home / 'bundled'}, {cache}." in message
    assert "`artgen weights get vgg19` (575 MB)" in message
    assert (
        f"download https://download.pytorch.org/models/vgg19-dcbb9e9d.pth to {cache / 'vgg19-dcbb9e9d.pth'}" in message
    )
    assert ("--offline forbids" in message) == ("offline" in options)


def test_missing_bundled(home):
    (bundle(home, one=b"1", two=b"2") / "two").unlink()
    with pytest.raises(WeightsError, match="install artgen again"):
        find("mini")


@pytest.mark.parametrize(
    ("where", "remedy"),
    [("bundled", "install artgen again"), ("cache/weights", "weights get --force net"), ("given", "replace or remove")],
)
def test_truncated_file_is_noticed_at_use(home, monkeypatch, where, remedy):
    publish(monkeypatch, "http://127.0.0.1:1/net.bin")
    (home / "given").mkdir()
    put(home / where / "net.bin", CONTENT[:-1])
    with pytest.raises(WeightsError, match=rf"damaged: 1023999 bytes instead of 1024000; .*{remedy}"):
        find("net", weights_dirs=[home / "given"])


def test_changed_bytes_are_noticed_by_verify(home):
    path = bundle(home, one=b"right") / "one"
    assert verify(table()["mini"]) == path
    path.write_bytes(b"wrong")
    assert find("mini") == path
    with pytest.raises(WeightsError, match="its sha256 is not"):
        verify(table()["mini"])


@pytest.mark.parametrize("text", ["{", "[]", '{"x": 1}', '{"x": {"kind": "clip"}}'])
def test_damaged_manifest(home, text):
    put(home / "bundled" / "manifest.json", text.encode())
    with pytest.raises(WeightsError, match=r"manifest\.json is damaged"):
        table()


def test_describe(home):
    folder = bundle(home, one=b"1")
    facts = {"mini/one": {"bytes": 1, "sha256": hashlib.sha256(b"1").hexdigest()}}
    assert describe(folder) == describe(folder / "one") == facts
    assert list(describe(folder, root=folder)) == ["one"]


def test_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("ARTGEN_CACHE_DIR", raising=False)
    assert "artgen" in str(weights.cache_dir())
    monkeypatch.setenv("ARTGEN_CACHE_DIR", str(tmp_path))
    assert weights.cache_dir() == tmp_path


# Reading


STATE = {"a": torch.arange(1000.0), "b": torch.ones(2, 3)}


@pytest.mark.parametrize("name", ["state.safetensors", "state.pth"])
def test_load_state(tmp_path, name):
    save(tmp_path / name)
    loaded = load_state(tmp_path / name)
    assert loaded.keys() == STATE.keys()
    assert all(torch.equal(loaded[key], STATE[key]) for key in STATE)


def save(path: Path) -> bytes:
    save_file(STATE, path) if path.suffix == ".safetensors" else torch.save(STATE, path)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["state.safetensors", "state.pth"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.01, 0.5, 0.999])
def test_truncated(tmp_path, name, kept):
    path = tmp_path / name
    content = save(path)
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(WeightsError, match=f"{name} is damaged or no weights file") as caught:
        load_state(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["state.safetensors", "state.pth"])
def test_no_file(tmp_path, name):
    with pytest.raises(WeightsError, match="There is no file"):
        load_state(tmp_path / name)


class Bomb:
    def __init__(self, touched: Path) -> None:
        self.touched = str(touched)

    def __reduce__(self):
        return os.mkdir, (self.touched,)


@pytest.mark.parametrize("write", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
@pytest.mark.parametrize("name", ["bomb.pth", "bomb.pt", "bomb.ckpt", "bomb"])
def test_pickled_code_is_not_run(tmp_path, write, name):
    touched = tmp_path / "touched"
    write({"a": Bomb(touched)}, tmp_path / name)
    with pytest.raises(WeightsError, match="holds code besides tensors, which is not run") as caught:
        load_state(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not touched.exists()


def test_something_else(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds a list instead of named tensors"):
        load_state(tmp_path / "list.pth")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_only_when_known(tmp_path, monkeypatch):
    path = tmp_path / "clip.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), str(path))
    with pytest.raises(WeightsError, match="TorchScript program, which is not run"):
        load_state(path)
    publish(monkeypatch, "https://example.invalid/clip.pt", path.stat().st_size, sha256_of(path))
    assert load_state(path)["weight"].shape == (3, 2)


def test_metadata_without_reading_tensors(tmp_path):
    save_file(STATE, tmp_path / "x.safetensors", metadata={"steps": "3"})
    with open_safetensors(tmp_path / "x.safetensors") as file:
        assert file.metadata() == {"steps": "3"}


def test_locate_nothing(home):
    assert locate(table()["vgg19"]) is None


@pytest.mark.parametrize("place", ["net.bin", "model/net.bin"])
def test_a_file_in_the_folder_of_a_run(tmp_path, place):
    file = put(tmp_path / place)
    assert weights.inside(file, "other.bin") == weights.inside(tmp_path, "net.bin") == file
    with pytest.raises(WeightsError, match=r"holds no other\.bin.*RUN/model"):
        weights.inside(tmp_path, "other.bin")
