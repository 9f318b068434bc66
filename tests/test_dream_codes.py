"""Drawing with a VQGAN: the grid of codes by itself, and `artgen dream --drawer vqgan` on a tiny random one."""

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from artcli.backends.dream.codes import CodeImage, _Clamp
from artcli.backends.dream.fft import FFTImage, resize
from artcli.backends.dream.sketch import Sketch
from artcli.media import record
from artcli.nn.vqgan import VQGAN, Sizes
from tests.batches import seeded
from tests.conftest import one_error_line, photograph

quick = settings(deadline=None, max_examples=20)
TINY = Sizes((8, 8), 1, (), False, 8, 16, 8, groups=4)
GUMBEL = Sizes((8, 8), 1, (), False, 8, 16, 8, groups=4, gumbel=True)


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setattr("artcli.backends.dream.codes.fast_dtype", lambda device: torch.float32)


@pytest.fixture(scope="module")
def model():
    return seeded(lambda: VQGAN(TINY)).eval().requires_grad_(False)


def drawer(model, height=24, width=32, seed=0):
    return CodeImage(model, height, width, torch.Generator().manual_seed(seed))


# --- the grid -------------------------------------------------------------------------------------------------------


def test_it_starts_from_random_codes_that_the_seed_decides(model):
    first, again, other = (drawer(model, seed=seed).features for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    codes = model.quantize.nearest(first.detach())
    assert codes.shape == (1, 12, 16) and len(codes.unique()) > 8
    torch.testing.assert_close(model.quantize.look_up(codes), first.detach())


@given(st.integers(2, 40), st.integers(2, 40))
@quick
def test_any_size(model, height, width):
    paint = drawer(model, height, width)
    assert paint.draw(height, width).shape == (1, 3, height, width)
    paint.grow(height + 5, 2 * width)
    image = paint.draw(height + 5, 2 * width)
    assert image.shape == (1, 3, height + 5, 2 * width) and 0 <= image.min() <= image.max() <= 1


def test_only_codes_are_drawn(model):
    """Moving a feature without coming nearer to another code changes nothing."""
    paint = drawer(model)
    before = paint.draw(24, 32)
    with torch.no_grad():
        paint.features.add_(1e-4)
    assert torch.equal(paint.draw(24, 32), before)


def test_the_gradient_goes_straight_through_to_the_features(model):
    paint = drawer(model)
    vectors = paint.features.detach().clone().requires_grad_()
    image = model.decode(vectors).clamp(0, 1)
    weights = torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    inside = (model.decode(vectors) == image).float()
    ((image * weights) * inside).sum().backward()
    drawn = paint.draw(24, 32)
    drawn.backward(weights * inside)
    torch.testing.assert_close(paint.features.grad, vectors.grad)


@given(st.floats(-2, 3, allow_subnormal=False), st.sampled_from([-1.0, -0.01, 0.01, 1.0]))  # torch may flush them to 0
@quick
def test_outside_the_range_only_the_way_back_is_open(value, gradient):
    x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    clamped = _Clamp.apply(x)
    clamped.backward(torch.tensor(gradient, dtype=torch.float64))
    assert clamped.item() == min(max(value, 0), 1)
    leads_away = (value > 1 and gradient < 0) or (value < 0 and gradient > 0)  # a step goes against the gradient
    assert x.grad.item() == (0 if leads_away else gradient)


def test_features_stay_within_the_codes(model):
    paint = drawer(model)
    with torch.no_grad():
        paint.features.mul_(100)
    paint.settle()
    vectors = model.quantize.vectors
    assert (paint.features <= vectors.amax(0)[None, :, None, None]).all()
    assert (paint.features >= vectors.amin(0)[None, :, None, None]).all()


def test_a_picture_as_the_start(model):
    paint, photo = drawer(model, 24, 31), torch.rand(3, 24, 31, generator=torch.Generator().manual_seed(0))
    paint.start_from(photo)
    padded = torch.cat((photo, photo[..., -1:]), 2)[None]
    torch.testing.assert_close(paint.features.detach(), model.encode(padded))
    gumbel = seeded(lambda: VQGAN(GUMBEL)).eval()
    paint = drawer(gumbel, 24, 31)
    paint.start_from(photo)
    codes = gumbel.quantize.choose(gumbel.encode(padded))
    torch.testing.assert_close(paint.features.detach(), gumbel.quantize.look_up(codes))


def test_large_pictures_save_memory_and_look_the_same(model, monkeypatch):
    paint = drawer(model)
    grads = []
    for limit in (10**9, 1):
        monkeypatch.setattr("artcli.backends.dream.codes._FRUGAL", limit)
        paint.features.grad = None
        paint.draw(24, 32).square().sum().backward()
        assert model.decoder.frugal == (limit == 1)
        grads.append(paint.features.grad)
    torch.testing.assert_close(*grads)


def test_other_starts(model):
    found = {}
    for start in ("codes", "range", "noise", "gradient"):
        rng = torch.Generator().manual_seed(0)
        paint = CodeImage(model, 24, 31, rng, start)
        assert paint.draw(24, 31).shape == (1, 3, 24, 31)
        found[start] = paint.features.detach()
    low, high = paint.low, paint.high
    assert (found["range"] >= low).all() and (found["range"] <= high).all()
    assert len({tuple(features.flatten()[:9].tolist()) for features in found.values()}) == 4
    smooth, rough = (found[start].diff(dim=3).abs().mean() for start in ("gradient", "noise"))
    assert smooth < rough


def test_codes_go_on_from_a_sketch(model):
    """Small it draws what a Fourier image draws; full-sized, the codes of that."""
    paint = Sketch(model, 24, 32, torch.Generator().manual_seed(0))
    image = FFTImage(24, 32, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert torch.equal(paint.draw(12, 16), image.draw(12, 16))
    assert (paint.rate, paint.costly) == (image.rate, False)
    sketch = paint.draw(12, 16).detach()
    paint.grow(12, 16)
    assert paint.parameters()[0].shape == image.spectrum.shape
    paint.grow(24, 32)
    codes = drawer(model, 24, 32)
    codes.start_from(resize(sketch, 24, 32)[0])
    assert torch.equal(paint.parameters()[0], codes.features)
    assert (paint.rate, paint.costly) == (codes.rate, True)
    assert torch.equal(paint.draw(24, 32), codes.draw(24, 32))


def test_a_tileable_picture_has_no_edge(model):
    """Moving the codes round moves the picture round."""
    paint = CodeImage(model, 24, 32, torch.Generator().manual_seed(0), tileable=True)
    image = paint.draw(24, 32).detach()
    with torch.no_grad():
        paint.features.copy_(paint.features.roll((3, 5), (2, 3)))
    torch.testing.assert_close(paint.draw(24, 32).detach(), image.roll((6, 10), (2, 3)), atol=1e-5, rtol=1e-5)
    drawer(model)  # the next picture has edges again
    assert {m.padding_mode for m in model.decoder.modules() if isinstance(m, torch.nn.Conv2d)} == {"zeros"}


# --- the calm picture -----------------------------------------------------------------------------------------------


class Woven(torch.nn.Module):
    """Encodes and decodes 4 px to a code without loss, but adds stripes that stand on the grid of codes."""

    def __init__(self, model, stripes=0.1):
        super().__init__()
        self.quantize, self.decoder, self.encoder = model.quantize, model.decoder, None
        self.sizes = Sizes((8, 8, 8), 1, (), False, 8, 16, 8, groups=4)
        self.stripes = stripes * torch.tensor([1.0, -1.0, 0.5, -0.5]).repeat(64)

    def encode(self, images):
        assert images.shape[2] % 4 == 0 and images.shape[3] % 4 == 0
        return torch.nn.functional.pixel_unshuffle(images, 4)

    def decode(self, vectors):
        image = torch.nn.functional.pixel_shuffle(vectors, 4)
        return image + self.stripes[: image.shape[3]]


@pytest.mark.parametrize(("height", "width"), [(32, 40), (33, 21), (4, 4)])
def test_a_calm_picture_has_nothing_of_the_grid(model, height, width):
    paint = CodeImage(Woven(model), 32, 32, torch.Generator().manual_seed(0))
    smooth = torch.linspace(0.2, 0.8, width).expand(1, 3, height, width)
    woven = smooth + paint.model.stripes[:width]
    torch.testing.assert_close(paint.calm(smooth, 4), smooth)
    assert torch.equal(paint.calm(woven, 1), woven)
    assert (paint.calm(smooth, 2) - smooth).abs().max() > 0.02, "two places are too few for stripes of two pixels"


def test_the_last_picture_is_calm_and_those_before_it_are_as_they_are(model, tiny_clip, monkeypatch):
    from artcli.backends.dream import optimise, steer
    from artcli.backends.dream.prompts import parse
    from artcli.backends.dream.settings import Settings
    from artcli.pretrained import clip as clips

    clip = clips.load(str(tiny_clip), torch.device("cpu"))
    made = {}
    for shifts in (1, 2):
        how = Settings(48, 40, steps=3, cutouts=3, low_res=32, drawer="vqgan", start="codes", shifts=shifts)
        frames = optimise.dream(steer.texts(clip, parse("red car")), clip, how, seed=1, vqgan=model)
        made[shifts] = [frame.image() for frame in frames]
    assert all(torch.equal(a, b) for a, b in zip(made[1][:2], made[2][:2], strict=True))
    assert not torch.equal(made[1][2], made[2][2])
    assert made[2][2].min() >= 0 and made[2][2].max() <= 1


def test_a_decoder_alone_draws_as_it_does(model):
    paint, image = drawer(Woven(model)), torch.rand((1, 3, 24, 32), generator=torch.Generator().manual_seed(0))
    assert not torch.equal(paint.calm(image, 4), image)
    del paint.model.encoder
    assert torch.equal(paint.calm(image, 4), image)


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dream(invoke, tiny_clip, model, folder):
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "codes.safetensors",
        metadata={"vqgan": json.dumps(asdict(TINY))},
    )
    tiny = [
        "--prior",
        "none",
        "--drawer",
        "vqgan",
        "--vqgan",
        "codes.safetensors",
        "--steps",
        4,
        "--cutouts",
        4,
        "--low-res",
        32,
    ]

    def run(*args, size=48, code=0):
        sized = ["--size", size] if size else []
        result = invoke("dream", "--clip", tiny_clip, *tiny, *sized, "--seed", 1, *args)
        assert result.exit_code == code, result.stderr
        return result

    return run


def test_words_to_a_picture_and_a_film(dream):
    dream("red car", "--out", "a.mp4")
    dream("red car", "--out", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    made = record.read(Path("a.png"))
    assert made["parameters"]["drawer"] == "vqgan" and "codes.safetensors" in made["weights"]
    assert Image.open("a.png").size == (48, 48) and Path("a.mp4").stat().st_size > 500


def test_without_a_first_stage_codes_draw_from_the_first_step(dream):
    for number, more in enumerate((["--low-part", 0], ["--low-res", 0], ["--low-part", 0.5])):
        dream("red car", "--start", "sketch", "--no-metadata", *more, "-o", f"{number}.png")
    none, small, half = (Path(f"{number}.png").read_bytes() for number in range(3))
    assert none == small != half


@pytest.mark.parametrize("start", ["sketch", "codes"])
def test_it_goes_on_at_the_same_bytes(model, tiny_clip, start):
    from artcli.backends.dream import optimise, steer
    from artcli.backends.dream.prompts import parse
    from artcli.backends.dream.settings import Settings
    from artcli.pretrained import clip as clips

    clip = clips.load(str(tiny_clip), torch.device("cpu"))
    how = Settings(48, 40, steps=6, cutouts=3, low_res=32, drawer="vqgan", start=start)
    targets = steer.texts(clip, parse("red car"))
    states = []
    for frame in optimise.dream(targets, clip, how, seed=1, vqgan=model):
        buffer = io.BytesIO()
        torch.save(frame.state(), buffer)
        states.append(buffer)
        last = frame.image()
    assert last.shape == (3, 40, 48)
    for buffer in (states[1], states[3]):
        buffer.seek(0)
        *_, again = optimise.dream(targets, clip, how, seed=1, vqgan=model, state=torch.load(buffer, weights_only=True))
        assert torch.equal(again.image(), last)


def test_editing_inside_a_mask(dream, folder):
    photograph(folder / "photo.png", (70, 50))
    mask = np.zeros((50, 70), np.uint8)
    mask[10:30, 20:50] = 255
    Image.fromarray(mask).save("mask.png")
    dream("red car", "--init", "photo.png", "--mask", "mask.png", "--feather", 0, "--out", "a.png", size=None)
    before, after = (np.asarray(Image.open(name).convert("RGB")) for name in ("photo.png", "a.png"))
    assert (before == after)[mask == 0].all() and (before != after)[mask > 0].any()


def test_what_does_not_go_together(invoke, dream):
    assert "--shifts" in one_error_line(dream("red car", "--drawer", "fft", "--shifts", 2, code=2).stderr)
    assert "--shifts" in one_error_line(dream("red car", "--zoom", 1.1, "--shifts", 2, "-o", "a.mp4", code=2).stderr)
    result = invoke("dream", "a", "--drawer", "fft", "--vqgan", "codes.safetensors", "-q")
    assert (result.exit_code, "goes with --drawer vqgan" in one_error_line(result.stderr)) == (2, True)
    result = invoke("dream", "a", "--drawer", "vqgan", "--vqgan", "nowhere", "-q")
    assert (result.exit_code, "neither a file nor known weights" in one_error_line(result.stderr)) == (2, True)


def test_starts_and_tiles_from_the_command_line(dream, folder):
    photograph(folder / "photo.png", (32, 32))
    for start in ("range", "noise", "gradient"):
        dream("red car", "--start", start, "--tileable", "--out", f"{start}.png")
    assert len({Path(f"{start}.png").read_bytes() for start in ("range", "noise", "gradient")}) == 3
    for flags, message in (
        (["--start", "noise", "--init", "photo.png"], "where there is no --init"),
        (["--start", "nose"], "Did you mean 'noise'?"),
        (["--tileable", "--init", "photo.png", "--mask", "photo.png"], "--tileable and --mask"),
    ):
        assert message in one_error_line(dream("a", "-q", *flags, code=2).stderr)
    assert "multiples of 2" in one_error_line(dream("a", "-q", "--tileable", size=33, code=2).stderr)


def test_a_moving_film(dream):
    dream("red car", "--zoom", 1.1, "--fps", 4, "--duration", 0.5, "--out", "a.mp4")
    assert Path("a.mp4").stat().st_size > 500 and Image.open("a.png").size == (48, 48)


def test_the_pull_to_a_photograph_can_fade(dream, folder):
    photograph(folder / "photo.png", (48, 48))
    flags = ["--init", "photo.png", "--init-weight", 1e6, "--lr", 0.02]
    for name, decay in {"held": 1, "let-go": 0.01}.items():
        dream("red car", *flags, "--init-decay", decay, "--steps", 12, "--out", f"{name}.png", size=None)
    photo, held, free = (np.asarray(Image.open(f"{n}.png").convert("RGB"), float) for n in ("photo", "held", "let-go"))
    assert np.abs(held - photo).mean() < np.abs(free - photo).mean()
