"""The referee: another image tower for a CLIP's words, which picks among the sketches that the CLIP led."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from artcli.backends.dream import rivals, steer
from artcli.backends.dream.prior import Prior
from artcli.backends.dream.prompts import parse
from artcli.backends.dream.settings import Sketching
from artcli.errors import WeightsError
from artcli.media import record
from artcli.models.clip.model import Model
from artcli.models.diffusion import start_noise, to_picture
from artcli.pretrained import clip as clips
from artcli.pretrained import diffusion, referee
from tests import tiny
from tests.conftest import one_error_line

CPU = torch.device("cpu")


@pytest.fixture
def refereed(refereed_clip):
    return clips.load(str(refereed_clip), CPU)


def test_a_clip_without_one(clip):
    assert referee.load(clip) is None


def test_same_words_other_eyes(refereed):
    found = referee.load(refereed)
    batch = torch.rand(2, 3, 32, 32)
    assert torch.equal(found.encode_text(["a cat"]), refereed.encode_text(["a cat"]))
    assert not torch.allclose(found.encode_image(batch), refereed.encode_image(batch))
    assert found.scale == pytest.approx(20.0) and found.side == refereed.side
    assert referee.load(refereed) is found, "loaded once"


@torch.no_grad()
def test_it_picks_the_sketch_and_the_clip_leads_it(refereed, tiny_prior):
    model, how = diffusion.load(str(tiny_prior), CPU), Sketching(candidates=8, steps=4)
    words, other = parse("a cat"), referee.load(refereed)
    against = rivals.embed(refereed, torch.stack([e for _, e in steer.texts(refereed, words)]))
    alone, judged = Prior(model, refereed, words, how), Prior(model, refereed, words, how, referee=other)
    noise = start_noise(model.net, list(range(8)), 16, 16)
    *_, state = alone._solve(noise, None, alone._lead(0, against))
    pictures = to_picture(state.picture)
    picked = [int(prior._scores(pictures, against).argmax()) for prior in (alone, judged)]
    assert picked[0] != picked[1]
    for prior, best in zip((alone, judged), picked, strict=True):
        assert torch.equal(prior.sketch(0, 64, 64, against)[-1], pictures[best])


@torch.no_grad()
def test_it_looks_from_near_and_from_afar(refereed, tiny_prior, monkeypatch):
    """A CLIP that judges its own sketches does not: it need not be convolutional."""
    model, other, seen = diffusion.load(str(tiny_prior), CPU), referee.load(refereed), []
    for clip in (refereed, other):
        real = clip.encode_image
        monkeypatch.setattr(clip, "encode_image", lambda x, real=real: seen.append(x.shape[-1]) or real(x))
    against, side = rivals.embed(refereed, refereed.encode_text(["a dog"])), other.side
    pictures = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    Prior(model, refereed, parse("a cat"), referee=other)._scores(pictures, against)
    assert sorted(seen) == [side, side, side * 3 // 2, side * 3 // 2]
    seen.clear()
    Prior(model, refereed, parse("a cat"))._scores(pictures, against)
    assert seen == [side, side]


def test_dream_records_whose_referee_it_was(invoke, refereed_clip, tiny_prior):
    size = ["--size", 64, "--steps", 2, "--cutouts", 2, "--drawer", "fft"]
    result = invoke("dream", "a cat", "--clip", refereed_clip, "--prior", tiny_prior, *size, "-o", "a.png", "-q")
    assert result.exit_code == 0, result.stderr
    assert f"{refereed_clip} referee" in record.read(Path("a.png"))["weights"]


@pytest.mark.parametrize("damage", ["no_description", "other_tensors", "truncated"])
def test_a_damaged_one(invoke, refereed_clip, tiny_prior, damage):
    file = refereed_clip / referee.FILE
    state = load_file(file)
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:1000])
    elif damage == "no_description":
        save_file(state, file)
    else:
        save_file(dict(list(state.items())[1:]), file, metadata={"referee": "{}"})
    with pytest.raises(WeightsError, match=r"referee\.safetensors"):
        referee.load(clips.load(str(refereed_clip), CPU))
    result = invoke("dream", "a cat", "--clip", refereed_clip, "--prior", tiny_prior, "--size", 64, "-o", "a.png", "-q")
    assert result.exit_code == 3 and "referee.safetensors" in one_error_line(result.stderr)


def test_training_writes_one(tmp_path):
    start = Model(tiny.config("clip"))
    start.export(tmp_path / "start")
    config = replace(tiny.config("clip"), text_steps=0, start=str(tmp_path / "start"), new_image=True)
    made = Model(config)
    made.export(tmp_path / "made")
    assert not (tmp_path / "start" / referee.FILE).exists()
    found = referee.load(clips.load(str(tmp_path / "made"), CPU))
    batch = torch.rand(2, 3, 32, 32)
    assert torch.allclose(found.encode_image(batch), made.averaged((batch - found.mean) / found.std), atol=0.05)
