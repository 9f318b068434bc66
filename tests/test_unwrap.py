"""One rule for what is saved around a state dict, and that every loader of the tool follows it."""

import pytest
import torch
from safetensors.torch import save_file

from artcli import weights
from artcli.errors import UsageError, WeightsError
from artcli.nn.translators import Sizes, Translator
from artcli.nn.vqgan import VQGAN
from artcli.nn.vqgan import Sizes as VQSizes
from artcli.pretrained import clip, feature_nets
from artcli.pretrained import painter as predictor
from artcli.pretrained import translators as translator_files
from artcli.pretrained import vqgan as vqgan_files
from artcli.unwrap import unwrap
from tests.batches import seeded
from tests.conftest import TINY_CLIP

CPU = torch.device("cpu")
STATE = {"a.weight": torch.arange(6.0), "b": torch.ones(2, 3)}

WAYS = {
    "as it is": lambda state: state,
    "Lightning": lambda state: {"epoch": 3, "state_dict": state, "optimizer_states": [{"lr": 0.1}]},
    "model": lambda state: {"model": state, "args": {"lr": 1}, "step": 7},
    "nested": lambda state: {"state_dict": {"model": state}},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": torch.tensor(1.0)},
    "parallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "compiled": lambda state: {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
    "compiled, then parallel": lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
    "open_clip's training": lambda state: {
        "epoch": 3, "name": "x", "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
    },
}  # fmt: skip


@pytest.mark.parametrize("wrap", WAYS.values(), ids=WAYS)
def test_what_is_around_is_taken_off(tmp_path, wrap):
    for found in (unwrap(wrap(STATE)), _through_a_file(tmp_path / "x.pt", wrap(STATE))):
        assert found.keys() == STATE.keys() and all(torch.equal(found[name], STATE[name]) for name in STATE)


def _through_a_file(path, saved):
    torch.save(saved, path)
    return weights.load_state(path)


def test_in_safetensors_too(tmp_path):
    save_file({f"_orig_mod.module.{name}": tensor for name, tensor in STATE.items()}, tmp_path / "x.safetensors")
    assert weights.load_state(tmp_path / "x.safetensors").keys() == STATE.keys()


def test_names_of_the_model_itself_stay():
    """A layer may be called model or module; only what stands before every name is of the wrapping."""
    state = {"module.weight": torch.ones(1), "model.1.weight": torch.ones(1)}
    assert unwrap(state).keys() == state.keys()
    itself = {"epoch": 1}
    itself["model"] = itself
    assert unwrap(itself) == {}


def test_nothing_inside_is_said(tmp_path):
    torch.save({"epoch": 3, "optimizer": [1]}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="holds no named tensors, only epoch, optimizer"):
        weights.load_state(tmp_path / "x.pt")


def of_open_clip(path, wrap):
    """Of an architecture that open_clip knows by name."""
    open_clip = clip.library()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", TINY_CLIP)
        state = seeded(lambda: open_clip.create_model("tiny")).state_dict()
        torch.save(wrap({name: tensor.half() for name, tensor in state.items()}), path)
        return clip.load(f"tiny={path}", CPU).model.state_dict()


def translator(path, wrap):
    torch.save(wrap(seeded(lambda: Translator(Sizes(width=4, blocks=1))).state_dict()), path)
    return translator_files.load(str(path), CPU).net.state_dict()


def vqgan(path, wrap):
    sizes = VQSizes(widths=(32, 32), blocks=1, attention=(), latent=8, codes=16, code_width=8)
    torch.save(wrap(seeded(lambda: VQGAN(sizes, True)).state_dict()), path)
    return vqgan_files.load(str(path), CPU, encodes=True).state_dict()


def painter(path, wrap):
    made = seeded(lambda: predictor.Predictor(predictor.Sizes(width=32, ffn=32, layers=1)))
    torch.save(wrap(made.state_dict()), path)
    return predictor.load(str(path), CPU).net.state_dict()


def squeezenet(path, wrap):
    from torchvision.models import squeezenet1_1

    torch.save(wrap(seeded(squeezenet1_1).state_dict()), path)
    return feature_nets.load(str(path), CPU).state_dict()


@pytest.mark.parametrize("load", [of_open_clip, translator, vqgan, painter, squeezenet])
def test_every_loader_takes_every_wrapping(tmp_path, load):
    plain = load(tmp_path / "plain.pth", WAYS["as it is"])
    for number, way in enumerate(("open_clip's training", "model", "compiled, then parallel")):
        found = load(tmp_path / f"{number}.pth", WAYS[way])
        assert found.keys() == plain.keys() and all(torch.equal(found[name], plain[name]) for name in plain)


# --- --clip ----------------------------------------------------------------------------------------------------------


def test_a_checkpoint_without_its_architecture_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ck").mkdir()
    torch.save(STATE, "ck/epoch_3.pt")
    with pytest.raises(UsageError, match=r"does not say its architecture: write ARCH=ck/epoch_3\.pt"):
        clip.load("ck/epoch_3.pt", CPU)
    with pytest.raises(UsageError, match=r"'ck/epoch_4\.pt' is neither a file"):
        clip.load("ck/epoch_4.pt", CPU)


def test_open_clips_own_names_go_to_it(tiny_clip, monkeypatch):
    import open_clip

    assert clip.load(f"local-dir:{tiny_clip}", CPU).side == 32
    with pytest.raises(UsageError, match="there is no folder nowhere"):
        clip.load("local-dir:nowhere", CPU)
    with pytest.raises(UsageError, match="no folder ~nowhere"):
        clip.load("local-dir:~nowhere", CPU)
    asked = []
    monkeypatch.setattr(open_clip, "create_model", lambda name, **how: asked.append(name) or 1 / 0)
    with pytest.raises(WeightsError, match="hf-hub:a/b cannot be loaded"):
        clip.load("hf-hub:a/b", CPU)
    assert asked == ["hf-hub:a/b"]
