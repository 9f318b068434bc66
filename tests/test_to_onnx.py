"""`artgen train --export onnx`: every model's parts at sizes that they were not exported at, and what is refused."""

import functools
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.fx.config
from torch._export import utils as export_utils
from torch.onnx._internal.exporter import _registration

from artcli.models import autoencoder
from artcli.training import checkpoint, to_onnx
from artcli.training.contract import BATCH, Axis, Port
from tests import tiny
from tests.batches import seeded
from tests.conftest import one_error_line, snapshot
from tests.test_stylize_run import weights_file
from tests.test_train import line
from tests.tiny import TINY, write_pictures


@pytest.fixture(scope="module", autouse=True)
def read_once():
    """The exporter reads its hundreds of translations, and torch's operators, anew for every part."""
    read = _registration.ONNXRegistry.from_torchlib
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_registration.ONNXRegistry, "from_torchlib", staticmethod(functools.cache(read)))
        patch.setattr(export_utils, "_materialize_cpp_cia_ops", functools.cache(export_utils._materialize_cpp_cia_ops))
        yield


@pytest.fixture
def without_traces(monkeypatch):
    """Of every operation the exporter notes which lines have led to it; `export` leaves that out of the file."""
    monkeypatch.setattr(torch.fx.config, "do_not_emit_stack_traces", True, raising=False)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    return str(weights_file(tmp_path_factory.mktemp("teacher") / "wide.safetensors", (8, 8, 12, 12, 12)))


CHANGES = {
    "adain": {"styles": ""},
    "autoencoder": {"design": "vector", "width": 2, "latent": 5},
    "cyclegan": {"norm": "none", "residual": True, "grain": True},
    "dcgan": {"conditional": True},
    "diffusion": {"texts": 8},
    "pix2pix": {"blocks": 3},
    "pix2pix resnet": {
        "net": "resnet", "blocks": 1, "norm": "instance", "resize": True, "depthwise": True, "channels": 1,
    },
    "stylegan": {"conditional": True},
    "upscaler": {"crop": 32},
    "vae": {"width": 1, "conditional": True},
    "vqgan": {"size": 16, "attention": True, "adversary": 0.0},
    "vqvae": {"residuals": 1},
    "vqvae2": {"residuals": 1},
}  # fmt: skip
CANNOT = ("prior",)  # one code after the other is not one pass
VARIANTS = [*(name for name in TINY if name not in CANNOT), *(name for name in CHANGES if name not in TINY)]


def config(name, teacher):
    """Tiny settings of a model or of a variant of it, where they need a finished net with its path."""
    kind = name.split()[0]
    found = tiny.config(kind, **CHANGES.get(name, {}))
    return replace(found, **{key: teacher for key, value in asdict(found).items() if value == tiny.TEACHER})


PARTS = {
    "adain": ["adain"],
    "clip": ["image", "text"],
    "cyclegan": ["a-to-b", "b-to-a"],
    "dcgan": ["generator"],
    "diffusion": ["flow"],
    "gan": ["generator"],
    "painter": ["painter"],
    "pix2pix": ["b-to-a"],
    "stylegan": ["mapping", "synthesis"],
    "upscaler": ["upscaler"],
    "vgg-slim": ["vgg-slim"],
    "wgan-gp": ["generator"],
}  # all others have an encoder and a decoder
ANY_SIZE = {"adain", "cyclegan", "diffusion", "pix2pix", "upscaler", "vgg-slim", "vqgan", "vqvae"}


def stirred(model):
    """Other numbers where training begins with zeros and ones, which would hide what is left out.

    Their mean stays: were they all larger, so would be features beside their deviations, and with them the rounding.
    """
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor += 0.1 * (torch.rand_like(tensor) - 0.5)
    return model


def finished(run, kind, config):
    """A run folder with random weights, and the model."""
    classes = ["cats", "dogs"] if getattr(config, "conditional", False) else []
    model = seeded(lambda: stirred(tiny.backend(kind).Model(config, len(classes)))).eval()
    run.mkdir()
    what = {"model": kind, "step": 7, "version": "0", "config": asdict(config), "data": {"classes": classes}}
    checkpoint.export(run / "weights.safetensors", model.state_dict(), what)
    return model


def drawn(port, lengths):
    """Random input of these lengths."""
    rng = np.random.default_rng(1)
    shape = [lengths[length] if isinstance(length, Axis) else length for length in port.shape]
    if port.whole:
        return rng.integers(int(port.low), int(port.high) + 1, shape)
    return (rng.random(shape) if np.isfinite(port.low) else rng.normal(size=shape)).astype(np.float32)


def compare(path, part):
    """Another number of pictures, and other sides, than any that the exporter or its own check have used."""
    axes = {length for port in part.inputs for length in port.shape if isinstance(length, Axis)}
    lengths = {axis: axis.usual + (3 + len(axis.name)) * axis.step for axis in axes} | {BATCH: 3}
    inputs = [drawn(port, lengths) for port in part.inputs]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [port.name for port in part.inputs]
    assert [value.name for value in session.get_inputs()] == names
    found = session.run([port.name for port in part.outputs], dict(zip(names, inputs, strict=True)))
    with torch.no_grad():
        wanted = part.function(*map(torch.from_numpy, inputs))
    for one, other in zip(found, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        torch.testing.assert_close(torch.from_numpy(one), other, rtol=1e-4, atol=1e-4)
    return axes


@pytest.mark.usefixtures("without_traces")
@pytest.mark.parametrize("name", VARIANTS)
def test_every_model_at_another_size(tmp_path, teacher, name):
    kind = name.split()[0]
    model = finished(tmp_path / "run", kind, config(name, teacher))
    written = dict(to_onnx.export(tmp_path / "run"))
    parts = model.exports()
    assert [path.stem for path in written] == list(parts) == PARTS.get(kind, ["encoder", "decoder"])
    assert all(0 <= apart < 1e-4 for apart in written.values()), written
    for path in written:
        axes = compare(path, parts[path.stem])
        assert len(axes) > 1 if kind in ANY_SIZE else axes == {BATCH}


def test_a_file_says_what_it_is_and_nothing_of_this_machine(tmp_path, teacher):
    finished(tmp_path / "run", "upscaler", config("upscaler", teacher))
    ((path, _),) = to_onnx.export(tmp_path / "run")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    (record,) = (json.loads(entry.value) for entry in model.metadata_props if entry.key == "artgen")
    told = record["model"], record["part"], record["step"], record["config"]["crop"]
    assert told == ("upscaler", "upscaler", 7, 32)
    shape = ["batch", 3, "height", "width"]
    assert record["inputs"][0] == {
        "name": "images", "shape": shape, "type": "float32", "range": [0, 1],
        "least_and_step": {"batch": [1, 1], "height": [1, 1], "width": [1, 1]},
    }  # fmt: skip
    assert [port["name"] for port in record["inputs"] + record["outputs"]] == ["images", "enlarged"]
    assert record["outputs"][0]["shape"] == ["batch", 3, "2*height", "2*width"]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == shape
    assert len(record["weights"]) == 16
    first = path.read_bytes()
    assert str(Path(__file__).parent.parent).encode() not in first and b".py" not in first
    list(to_onnx.export(tmp_path / "run"))
    assert path.read_bytes() == first


def test_differences():
    zeros = torch.zeros(200)
    assert to_onnx._difference(torch.full((200,), 0.25), zeros) == 0.25
    assert to_onnx._difference(torch.full((200,), 120.0), torch.full((200,), 100.0)) == pytest.approx(0.2)
    assert to_onnx._difference(torch.full((200,), torch.nan), zeros) == torch.inf
    choices = torch.arange(200)
    assert to_onnx._difference(choices.clamp(max=198), choices) == 0, "one of two that are about as near"
    assert to_onnx._difference(choices.clamp(max=190), choices) == torch.inf
    with pytest.raises(ValueError, match=r"shape \(200,\) instead of \(1,\)"):
        to_onnx._difference(zeros, zeros[:1])


def test_the_lengths_that_are_checked():
    assert to_onnx._lengths(BATCH) == (1, 2)
    assert to_onnx._lengths(Axis("height", 256, 4, 8)) == (256, 128)
    assert to_onnx._lengths(Axis("height", 100, 8)) == (100, 56)
    assert to_onnx._lengths(Axis("height", 256, 256, 256)) == (256, 512)


def test_what_has_no_bound_has_none_in_the_record():
    described = to_onnx._describe(Port("features", (BATCH, 4, "height/2"), low=0))
    assert described["range"] == [0, None] and described["shape"] == ["batch", 4, "height/2"]


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "blobs")


def exporting(data, *more, steps=2):
    return line(data, "--export", "onnx", *more, steps=steps)


def test_a_finished_run_is_exported_and_no_more(invoke, folder, data, capfd):
    trained = invoke(*line(data, steps=2))
    assert (trained.exit_code, trained.stdout) == (0, "run/weights.safetensors\n") and "onnx" not in trained.stderr
    before = snapshot(folder)
    exported = invoke(*exporting(data))
    assert (exported.exit_code, exported.stdout) == (0, "run/weights.safetensors\nrun/model\n"), exported.stderr
    told = exported.stderr.splitlines()
    assert "is finished" in told[3] and len(told) == 6, "nothing of the exporter's own"
    assert capfd.readouterr() == ("", ""), "nor beside Python's own streams"
    assert told[4].startswith("train: wrote model/encoder.onnx, within ") and told[4].endswith(" of torch")
    assert told[5].startswith("train: wrote model/decoder.onnx, within ")
    after = snapshot(folder)
    assert after.keys() - before.keys() == {f"run/model{name}" for name in ("", "/encoder.onnx", "/decoder.onnx")}
    assert all(after[name] == content for name, content in before.items()), "nothing is trained"


@pytest.fixture
def nothing_written(monkeypatch):
    """For what is about when a file is written and what becomes of it: its bytes take seconds."""
    monkeypatch.setattr(to_onnx, "_onnx", lambda part, about: b"an ONNX file")


def test_a_run_exports_when_it_ends_and_not_before(invoke, folder, data, nothing_written, monkeypatch):
    monkeypatch.setattr(to_onnx, "_apart", lambda path, part, turn: 0.0)
    stopped = invoke(*exporting(data, "--time-limit", "0.0001"))
    assert "stopped at step 1 of 2" in stopped.stderr and not Path("run/model").exists()
    ended = invoke(*exporting(data, "--json"))
    paths = ["run/weights.safetensors", "run/model"]
    assert json.loads(ended.stdout) == {"paths": paths, "steps": 2, "finished": True}
    assert {path.name for path in Path("run/model").iterdir()} == {"encoder.onnx", "decoder.onnx"}


def refused(result, code=2):
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    return one_error_line(result.stderr)


def test_other_formats(invoke, folder, data):
    text = refused(invoke(*line(data, "--export", "onxx")))
    assert text == "--export 'onxx' is not known; there are: onnx. Did you mean 'onnx'?"


def test_a_missing_package_is_missed_before_training(invoke, folder, data, monkeypatch):
    find = to_onnx.importlib.util.find_spec
    monkeypatch.setattr(to_onnx.importlib.util, "find_spec", lambda name: None if "onnx" in name else find(name))
    text = refused(invoke(*exporting(data)))
    assert "onnx, onnxruntime, onnxscript" in text and text.endswith('get it with: pip install "artgen[onnx]"')
    assert snapshot(folder) == {}


def test_a_model_without_parts_to_export(invoke, folder, data, monkeypatch):
    monkeypatch.delattr(autoencoder.Model, "exports")
    text = refused(invoke(*exporting(data)))
    assert text.startswith("autoencoder cannot be exported to ONNX") and "these can: adain, clip, cyclegan" in text
    assert snapshot(folder) == {}


def failing(error):
    def run(*_):
        raise error

    return run


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        ("_apart", lambda path, part, turn: 0.5, "onnxruntime is 0.5 from torch, more than 0.001"),
        ("_run", failing(RuntimeError("no\nsuch operator")), "RuntimeError: no such operator"),
    ],
    ids=["apart", "broken"],
)
def test_what_does_not_agree_is_not_kept(invoke, folder, data, nothing_written, monkeypatch, place, value, why):
    Path("run/model").mkdir(parents=True)
    Path("run/model/encoder.onnx").write_bytes(b"of older weights")
    Path("run/run.toml").write_text("")
    monkeypatch.setattr(to_onnx.runs, "choose", lambda *_, **__: Path("run"))
    monkeypatch.setattr(to_onnx, place, value)
    text = refused(invoke(*exporting(data, "-q")), code=1)
    assert text.startswith("could not export encoder.onnx (") and why in text
    assert text.endswith("it is not kept, the trained weights are: run/weights.safetensors")
    assert checkpoint.read(Path("run/weights.safetensors"))[1]["step"] == 2
    assert list(Path("run/model").iterdir()) == []
