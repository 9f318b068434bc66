"""VQGAN: its networks against a plain reading of the papers' layout, its losses by hand, its files."""

import json
import math
import zipfile
from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from artcli.errors import UsageError, WeightsError
from artcli.models.vqgan import PRESETS, Config, Model
from artcli.nn.discriminator import Discriminator
from artcli.nn.patchgan import PatchGAN, hinge
from artcli.nn.spectral import spectral
from artcli.nn.vqgan import VQGAN, Sizes, sizes_of
from artcli.pretrained import vqgan as vqgan_files
from artcli.pretrained.perceptual import Perceptual
from tests.batches import assert_learns, batch, before_and_after, copies_of, pictures, seeded, train, train_step

quick = settings(deadline=None, max_examples=12)
CPU = torch.device("cpu")
TINY = Config(
    size=32, crop=0, widths=(8, 16), groups=4, codes=16, code_width=8, discriminator_width=4, discriminator_start=3,
    discriminator_ahead=2, perceptual=0.0, batch=4, lr=2e-3,
)  # fmt: skip


def tiny(**changed):
    return seeded(lambda: Model(replace(TINY, **changed)))


def net(sizes, seed=0):
    """Random weights; also where layers start at zero or one."""
    made = seeded(lambda: VQGAN(sizes), seed)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
    return made.eval()


# --- the networks, against the layout read plainly -------------------------------------------------------------------


class Plain:
    """The papers' decoder and encoder straight from a checkpoint's tensors, one operation after the other."""

    def __init__(self, state, groups):
        self.state, self.groups = state, groups

    def conv(self, x, name, stride=1, padding=1):
        return F.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], stride, padding)

    def norm(self, x, name):
        grouped = x.reshape(len(x), self.groups, -1)
        mean, variance = grouped.mean(2, keepdim=True), grouped.var(2, unbiased=False, keepdim=True)
        x = ((grouped - mean) / (variance + 1e-6).sqrt()).reshape(x.shape)
        return x * self.state[f"{name}.weight"][:, None, None] + self.state[f"{name}.bias"][:, None, None]

    def swished(self, x, name):
        x = self.norm(x, name)
        return x / (1 + torch.exp(-x))

    def block(self, x, name):
        inside = self.conv(self.swished(x, f"{name}.norm1"), f"{name}.conv1")
        inside = self.conv(self.swished(inside, f"{name}.norm2"), f"{name}.conv2")
        if f"{name}.nin_shortcut.weight" in self.state:
            x = self.conv(x, f"{name}.nin_shortcut", padding=0)
        return x + inside

    def attention(self, x, name):
        inside = self.norm(x, f"{name}.norm")
        q, k, v = (self.conv(inside, f"{name}.{part}", padding=0).flatten(2) for part in "qkv")
        weights = torch.einsum("bci,bcj->bij", q, k) * q.shape[1] ** -0.5
        found = torch.einsum("bij,bcj->bci", weights.softmax(2), v).reshape(x.shape)
        return x + self.conv(found, f"{name}.proj_out", padding=0)

    def blocks(self, x, name):
        number = 0
        while f"{name}.block.{number}.conv1.weight" in self.state:
            x = self.block(x, f"{name}.block.{number}")
            if f"{name}.attn.{number}.q.weight" in self.state:
                x = self.attention(x, f"{name}.attn.{number}")
            number += 1
        return x

    def middle(self, x, name):
        x = self.block(x, f"{name}.mid.block_1")
        if f"{name}.mid.attn_1.q.weight" in self.state:
            x = self.attention(x, f"{name}.mid.attn_1")
        return self.block(x, f"{name}.mid.block_2")

    def decode(self, vectors, levels):
        x = self.conv(vectors, "post_quant_conv", padding=0)
        x = self.middle(self.conv(x, "decoder.conv_in"), "decoder")
        for level in reversed(range(levels)):
            x = self.blocks(x, f"decoder.up.{level}")
            if level:
                x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                x = self.conv(x, f"decoder.up.{level}.upsample.conv")
        return (self.conv(self.swished(x, "decoder.norm_out"), "decoder.conv_out") + 1) / 2

    def encode(self, images, levels):
        x = self.conv(2 * images - 1, "encoder.conv_in")
        for level in range(levels):
            x = self.blocks(x, f"encoder.down.{level}")
            if level < levels - 1:
                x = torch.cat((x, torch.zeros_like(x[..., :1])), 3)
                x = torch.cat((x, torch.zeros_like(x[:, :, :1])), 2)
                x = self.conv(x, f"encoder.down.{level}.downsample.conv", stride=2, padding=0)
        x = self.middle(x, "encoder")
        x = self.conv(self.swished(x, "encoder.norm_out"), "encoder.conv_out")
        return self.conv(x, "quant_conv", padding=0)


KINDS = {
    "taming": Sizes((32, 32, 64), 2, (2,), True, 16, 12, 16),
    "gumbel": Sizes((32, 64), 1, (1,), True, 8, 12, 8, gumbel=True),
    "latent diffusion, other widths inside and out": Sizes((32, 64, 64), 1, (), True, 3, 12, 4),
    "ours": Sizes((8, 16, 24), 1, (), False, 8, 12, 8, groups=4),
    "grey": Sizes((32,), 1, (0,), False, 8, 12, 8, channels=1),
}
PLAIN = Sizes((8, 8, 8), 2, (), False, 4, 12, 4, groups=0)


@pytest.mark.parametrize("sizes", KINDS.values(), ids=KINDS)
def test_the_networks_are_the_papers(sizes):
    made, levels = net(sizes), len(sizes.widths)
    plain = Plain(made.state_dict(), sizes.groups)
    vectors = torch.randn(2, sizes.code_width, 3, 5, generator=torch.Generator().manual_seed(1))
    drawn = made.decode(vectors)
    assert drawn.shape == (2, sizes.channels, 3 * sizes.factor, 5 * sizes.factor)
    torch.testing.assert_close(drawn, plain.decode(vectors, levels), rtol=1e-4, atol=1e-4)
    images = torch.rand(2, sizes.channels, 4 * sizes.factor, 2 * sizes.factor)
    torch.testing.assert_close(made.encode(images), plain.encode(images, levels), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sizes", KINDS.values(), ids=KINDS)
def test_sizes_are_read_off_the_tensors(sizes):
    assert sizes_of(VQGAN(sizes).state_dict(), sizes.groups) == sizes
    without = VQGAN(sizes, encodes=False).state_dict()
    assert sizes_of(without, sizes.groups) == sizes and not any("encoder" in name for name in without)


def test_the_published_sizes():
    """The f16 of the paper: 256 channels of codes at 1/16 of the side, 72 million parameters."""
    with torch.device("meta"):
        made = VQGAN(Sizes())
    assert made.sizes.factor == 16
    assert sum(p.numel() for p in made.parameters()) == 72_141_699


def test_memory_can_be_saved_without_changing_the_gradient():
    made = net(KINDS["ours"])
    found = []
    for frugal in (False, True):
        made.decoder.frugal = frugal
        vectors = torch.ones(1, 8, 4, 4, requires_grad=True)
        made.decode(vectors).square().sum().backward()
        found.append(vectors.grad)
    torch.testing.assert_close(*found)


@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
@quick
def test_the_nearest_code_is_the_nearest(codes, width, side, seed):
    book = seeded(lambda: VQGAN(Sizes((8,), 1, (), False, 8, codes, width, groups=4)), seed).quantize
    features = torch.randn(2, width, side, side + 1, generator=torch.Generator().manual_seed(seed))
    distances = (features[:, None] - book.vectors[None, :, :, None, None]).square().sum(2)
    chosen = book.nearest(features)
    found = distances.gather(1, chosen[:, None])[:, 0]
    torch.testing.assert_close(found, distances.min(1).values, rtol=1e-5, atol=1e-5)  # by a product, which rounds
    assert torch.equal(book.look_up(chosen).movedim(1, -1), book.vectors[chosen])


def test_plain_networks():
    """Two strided convolutions, two residual blocks, no normalisation; a picture changes its own codes only."""
    made = net(PLAIN)
    images = torch.rand(2, 3, 16, 24)
    features = made.encode(images)
    assert features.shape == (2, 4, 4, 6) and made.decode(features).shape == images.shape
    assert not any(isinstance(layer, torch.nn.GroupNorm) for layer in made.modules())
    torch.testing.assert_close(made.encode(images[:1]), features[:1])
    assert made.decoder.conv_out.weight.shape[1] == 3
    made.decoder.wraps = True
    rolled = made.decode(features.roll((1, 2), (2, 3)))
    torch.testing.assert_close(rolled, made.decode(features).roll((4, 8), (2, 3)))


def test_gumbel_codes_are_chosen_by_logits():
    book = net(KINDS["gumbel"]).quantize
    features = torch.randn(1, 8, 3, 3)
    logits = torch.einsum("kc,bchw->bkhw", book.proj.weight[:, :, 0, 0], features) + book.proj.bias[:, None, None]
    assert torch.equal(book.choose(features), logits.argmax(1))


# --- the discriminator ------------------------------------------------------------------------------------------------


def test_the_discriminator_looks_at_patches_of_70_pixels():
    discriminator = seeded(lambda: PatchGAN(3, 4)).eval()
    image = torch.zeros(1, 3, 128, 128, requires_grad=True)
    judged = discriminator(image)
    assert judged.shape == (1, 1, 14, 14)
    judged[0, 0, 7, 7].backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero()
    assert rows.max() - rows.min() + 1 == 70


def test_hinge():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert hinge(real, fake).item() == pytest.approx(((0 + 0.5) / 2 + (0 + 1) / 2) / 2)


# --- the perceptual distance ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def distance():
    return Perceptual("clip-mini")


def test_a_perceptual_distance_grows_with_the_change(distance):
    images = pictures(2, 64)
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape, generator=rng)
    found = [distance(images, images + amount * noise) for amount in (0.0, 0.05, 0.2)]
    assert found[0].tolist() == [0, 0]
    assert (found[0] < found[1]).all() and (found[1] < found[2]).all() and (found[2] < 4).all()
    torch.testing.assert_close(found[1], distance(images + 0.05 * noise, images))


def test_a_perceptual_distance_from_torchvisions_tensors(tmp_path):
    from torchvision.models import squeezenet1_1

    path = tmp_path / "net.pth"
    torch.save(seeded(lambda: squeezenet1_1(weights=None)).state_dict(), path)
    measure = Perceptual(str(path))
    images = pictures(2, 64)
    assert measure(images, images).tolist() == [0, 0] and (measure(images, images.flip(3)) > 0).all()
    assert len(measure.net(images)) == 7 and (measure.net(images)[0] >= 0).all()


def test_what_cannot_compare_pictures(tmp_path):
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "net.pth")
    with pytest.raises(UsageError, match="none of vgg19, vgg16, squeezenet1_1"):
        Perceptual(str(tmp_path / "net.pth"))


# --- training -------------------------------------------------------------------------------------------------------


def test_it_learns():
    images = pictures(8, 32)

    def measure(model):
        found = model.validate(batch(images))
        return {"loss": found["loss"], "l1": found["l1"], "psnr": -found["psnr"]}

    model = assert_learns(lambda: Model(replace(TINY, adversary=0.0)), lambda model: train(model, images, 30), measure)
    assert model.metrics["codes"] > 1, "it tells pictures apart"


def test_the_discriminator_comes_in_after_its_start():
    model, images = tiny(), pictures(4, 32)
    optimizers = model.optimizers()
    for step in range(7):
        model.begin(step)
        before = copies_of(model.discriminator)
        losses = train_step(model, optimizers, step, batch(images, seed=step))
        assert ("discriminator" in losses) == (step >= 3)
        assert ("weight" in model.metrics) == (step >= 5), "it is listened to when it has learned for two steps"
        moved = any(not torch.equal(before[name], now) for name, now in model.discriminator.state_dict().items())
        assert moved == (step >= 3)
    assert model.worst_step(100) == 99


def test_the_discriminators_weight_makes_the_gradients_alike():
    model = tiny(adversary=0.8)
    last = model.net.decoder.conv_out.weight
    alike, fooled = 3 * last.sum(), -0.5 * last.sum()
    assert model._weight(alike, fooled).item() == pytest.approx(0.8 * 3 / 0.5, rel=1e-3)
    assert model._weight(alike, 0 * last.sum()).item() == pytest.approx(0.8 * 1e4)  # held


CIFAR = replace(PRESETS["cifar10"], widths=(8, 8, 8), discriminator_width=4, codes=16, code_width=8, batch=4)


def test_the_discriminator_of_whole_pictures_plays_minimax():
    """The losses by hand, and the net moved by the weight as it is."""
    model, images = seeded(lambda: Model(replace(CIFAR, discriminator_start=0, adversary=0.5))), pictures(4, 32)
    judged = torch.tensor([[0.3], [-1.2]])
    found, weight = model._adversary(torch.zeros(()), judged)
    chance = judged.sigmoid()
    assert found.item() == pytest.approx(0.5 * (1 - chance).log().mean().item()) and weight == 0.5
    real, fake = torch.tensor([[2.0]]), torch.tensor([[0.5]])
    by_hand = -(real.sigmoid().log() + (1 - fake.sigmoid()).log()) / 2
    assert model._judged(real, fake).item() == pytest.approx(by_hand.item())
    before = copies_of(model.discriminator)
    train(model, images, 2)
    assert any(not torch.equal(before[name], now) for name, now in model.discriminator.state_dict().items())
    assert seeded(lambda: Discriminator(3, 4, 32))(images).shape == (4, 1)


@pytest.mark.parametrize("error", ["absolute", "squared"])
def test_other_errors(error):
    model, images = seeded(lambda: Model(replace(CIFAR, error=error, adversary=0.0))), pictures(4, 32)
    rebuilt = images + 0.1 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    by_hand = {
        "absolute": (2 * images - 2 * rebuilt).abs().mean(),
        "squared": (images - rebuilt).square().mean() / 0.06,
    }
    found = model._errors(images, rebuilt, perceptual=True)
    assert found.keys() == {error}
    torch.testing.assert_close(found[error], by_hand[error])
    assert model.validate(batch(images)).keys() == {"loss", "absolute", "squared", "psnr"}


def test_the_presets_are_what_they_are_named_after():
    assert {"mini", "cifar10", "cifar10-cold", "paper-f16", "paper-f8"} == PRESETS.keys()
    warm, cold = PRESETS["cifar10"], PRESETS["cifar10-cold"]
    assert replace(warm, discriminator_start=0) == cold and 6 <= warm.discriminator_start / (45_000 / warm.batch) <= 7
    assert (warm.codes, warm.code_width, warm.size // warm.sizes.factor, warm.commitment) == (512, 64, 8, 1.0)
    for name, factor in {"paper-f16": 16, "paper-f8": 8}.items():
        config = PRESETS[name]
        assert config.sizes.factor == factor and (config.adversary, config.decay) == (0.8, 0.0)
    with torch.device("meta"):
        made = VQGAN(PRESETS["paper-f16"].sizes)
        cifar = Model(warm)
    assert sum(p.numel() for p in made.parameters()) == 72_141_699
    assert cifar.net.encoder.layers[-1].out_channels == 64


def test_spectra_see_stripes_wherever_they_lie():
    """Half a grey level of stripes counts as much at any phase, and as a hundred times as much as a soft slope."""
    flat, places = torch.full((1, 3, 48, 48), 0.5), torch.arange(48.0)
    apart = [
        spectral(flat + 0.1 * torch.cos(2 * math.pi * places / 3 + shift), flat).item() for shift in (0.0, 1.0, 2.0)
    ]
    assert apart == pytest.approx([apart[0]] * 3, rel=0.02)
    slope = 0.1 * (2 * places / 47 - 1)
    assert spectral(flat + slope, flat).item() < apart[0] / 4
    assert spectral(flat, flat).item() == 0


def test_spectra_by_hand():
    one, other = torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    window = torch.hann_window(16, dtype=torch.float64)
    weights = window[:, None] * window / window.sum() ** 2

    def amplitudes(image):
        centred = image - image.mean((1, 2), keepdim=True)
        return torch.fft.fft2(centred * weights).abs()[..., :9]

    by_hand = (amplitudes(one[0]).sqrt() - amplitudes(other[0]).sqrt()).abs().mean()
    assert spectral(one, other).item() == pytest.approx(by_hand.item(), rel=0.02)  # but for the floor


def test_a_decoder_learns_alone(tmp_path):
    """From a finished file; the codes of pictures stay, and the pictures that are drawn of them change."""
    images, first = pictures(4, 32), tiny(adversary=0.0)
    train(first, images, 3)
    first.export(tmp_path)
    later = tiny(adversary=0.0, spectral=1.0, start=str(tmp_path), learn="decoder")
    before = copies_of(later)
    rebuilt = later.reconstruct(images)
    torch.testing.assert_close(rebuilt, first.reconstruct(images), atol=0.02, rtol=0)  # files are of half precision
    train(later, images, 3)
    moved = {name for name, now in later.state_dict().items() if not torch.equal(before[name], now)}
    assert moved and all(name.startswith(("net.decoder", "net.post_quant_conv")) for name in moved)
    assert later.metrics["spectral"] > 0
    with pytest.raises(UsageError, match="other sizes"):
        tiny(adversary=0.0, widths=(8, 32), start=str(tmp_path))
    with pytest.raises(UsageError, match="other codes"):
        tiny(adversary=0.0, codes=32, start=str(tmp_path))


def test_the_preset_cifar10_learns():
    """With the discriminator from half of the steps on."""

    def learn(model):
        optimizers = model.optimizers()
        for step in range(80):
            model.begin(step)
            train_step(model, optimizers, step, batch(pictures(8, 32), seed=step))

    def loss(model):
        return model.validate(batch(pictures(8, 32)))["squared"]

    made = replace(CIFAR, widths=(16, 16, 16), codes=32, lr=3e-3, discriminator_start=40)
    before, after = before_and_after(lambda: Model(made), learn, loss)
    assert after < 0.8 * min(before)


@given(st.integers(0, 50))
@quick
def test_crops_are_parts_of_the_pictures(seed):
    model, images = tiny(crop=16, adversary=0.0), torch.rand(3, 3, 32, 32)
    crops = model._crop(batch(images, seed=seed))
    for image, crop in zip(images, crops, strict=True):
        windows = image.unfold(1, 16, 1).unfold(2, 16, 1)  # (3, 17, 17, 16, 16)
        assert (windows == crop[:, None, None]).all((0, 3, 4)).sum() >= 1


def test_pictures_of_any_size_go_through():
    model = tiny()
    images = torch.rand(2, 3, 64, 64)
    assert model.reconstruct(images).shape == images.shape
    ends = model.encode(images)
    torch.testing.assert_close(model.blend(ends[:1], ends[1:], 0.25), 0.75 * ends[:1] + 0.25 * ends[1:])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 33}, "multiple of 2"),
        ({"crop": 64}, "larger than"),
        ({"crop": 16}, "at least 32 pixels"),
        ({"widths": (8, 18)}, "4 groups"),
        ({"widths": (8, 0)}, "widths has to be above 0"),
        ({"channels": 1, "perceptual": 1.0}, "perceptual=0"),
        ({"decay": 1.0}, "below 1"),
        ({"crop": 8, "adversary": 0.0, "spectral": 1.0}, "patches of 16 pixels"),
        ({"learn": "decoder"}, "start=vqgan-mini"),
        ({"learn": "encoder"}, "learn"),
    ],
)
def test_settings_that_cannot_work(changed, message):
    with pytest.raises(UsageError, match=message):
        replace(TINY, **changed)


# --- files ----------------------------------------------------------------------------------------------------------


def test_an_exported_model_draws_the_same(tmp_path):
    model = tiny()
    train(model, pictures(4, 32), 2)
    model.export(tmp_path)
    loaded = vqgan_files.load(str(tmp_path), CPU, encodes=True)
    assert loaded.sizes == TINY.sizes
    images = pictures(2, 32)
    with torch.no_grad():
        codes = model.quantiser.nearest(model.net.encode(images))
        drawn = model.net.decode(model.quantiser.look_up(codes))
        torch.testing.assert_close(loaded.decode(loaded.quantize.look_up(codes)), drawn, atol=0.02, rtol=0)
        assert (loaded.quantize.choose(loaded.encode(images)) == codes).float().mean() > 0.9


def test_a_plain_model_is_exported_and_draws_the_same(tmp_path):
    model = seeded(lambda: Model(replace(CIFAR, adversary=0.0)))
    train(model, pictures(4, 32), 2)
    model.export(tmp_path)
    loaded = vqgan_files.load(str(tmp_path), CPU, encodes=True)
    images = pictures(2, 32)
    with torch.no_grad():
        drawn = loaded.decode(loaded.quantize.look_up(loaded.quantize.choose(loaded.encode(images))))
        torch.testing.assert_close(drawn.clamp(0, 1), model.reconstruct(images), atol=0.02, rtol=0)
    assert not hasattr(vqgan_files.load(str(tmp_path), CPU), "encoder")
    assert vqgan_files.is_one(tmp_path / "vqgan.safetensors")
    tensors = vqgan_files.read(tmp_path / "vqgan.safetensors")
    for changed in ({"new": 1}, {"widths": [8, 8]}):
        told = json.dumps(asdict(loaded.sizes) | changed)
        save_file(tensors, tmp_path / "b.safetensors", metadata={"vqgan": told})
        with pytest.raises(WeightsError, match=r"is damaged|lacks|is no VQGAN"):
            vqgan_files.load(str(tmp_path / "b.safetensors"), CPU)


def stored(tmp_path, content, name="last.ckpt"):
    torch.save(content, tmp_path / name)
    return str(tmp_path / name)


def test_checkpoints_of_other_tools(tmp_path):
    made = net(KINDS["taming"])
    state = made.state_dict() | {"loss.logvar": torch.zeros(())}
    vectors = torch.randn(1, 16, 2, 2)
    inner = {f"first_stage_model.{name}": tensor for name, tensor in made.state_dict().items()}
    files = [
        stored(tmp_path, {"state_dict": state, "epoch": 3, "optimizer_states": [{}]}),
        stored(tmp_path, state, "plain.pt"),
        stored(tmp_path, {"state_dict": inner | {"model.diffusion_model.out.0.weight": torch.zeros(1)}}, "ldm.ckpt"),
    ]
    with zipfile.ZipFile(tmp_path / "vq.zip", "w") as archive:
        archive.write(files[0], "model.ckpt")
    for path in (*files, str(tmp_path / "vq.zip")):
        loaded = vqgan_files.load(path, CPU)
        torch.testing.assert_close(loaded.decode(vectors), made.decode(vectors))
        assert not hasattr(loaded, "encoder")


def test_an_old_lightning_checkpoint_names_a_class_that_is_never_made(tmp_path):
    """The published files carry a reference to Lightning's callback beside the tensors."""
    import pickle
    import sys
    import types

    made = net(KINDS["taming"])
    path = "pytorch_lightning.callbacks.model_checkpoint"
    modules = {name: types.ModuleType(name) for name in ("pytorch_lightning", "pytorch_lightning.callbacks", path)}
    callback = type("ModelCheckpoint", (), {"__module__": path})
    modules[path].ModelCheckpoint = callback
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        content = {"state_dict": made.state_dict(), "callbacks": {callback: {"best_model_score": torch.tensor(0.5)}}}
        torch.save(content, tmp_path / "last.ckpt", pickle_module=pickle)
    assert vqgan_files.load(str(tmp_path / "last.ckpt"), CPU).sizes == made.sizes


class _Trap:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_files_that_are_refused(tmp_path, capsys):
    good = net(KINDS["taming"]).state_dict()
    short = dict(list(good.items())[:-3])
    odd = good | {"decoder.mid.block_1.conv1.weight": torch.zeros(64, 64, 5, 5)}
    cases = {
        "lacks": stored(tmp_path, {"state_dict": short}, "short.ckpt"),
        "64x64x5x5, not 64x64x3x3": stored(tmp_path, odd, "odd.ckpt"),
        "looks like a translator, which": stored(tmp_path, {"model.1.weight": torch.zeros(1)}, "net_G.pth"),
        "artgen cyclegan --model takes": stored(tmp_path, {"model.model.0.weight": torch.zeros(1)}, "unet_G.pth"),
        "looks like a CLIP": stored(tmp_path, {"visual.conv1.weight": torch.zeros(1)}, "clip.pt"),
        "an image classifier": stored(tmp_path, {"features.0.weight": torch.zeros(1)}, "vgg.pth"),
        "holds code": stored(tmp_path, {"state_dict": _Trap()}, "trap.ckpt"),
    }
    half = tmp_path / "half.ckpt"
    whole = (tmp_path / "odd.ckpt").read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    for message, path in {**cases, "damaged or no weights": str(half)}.items():
        with pytest.raises(WeightsError, match=message):
            vqgan_files.load(path, CPU, encodes=True)
    assert "must not run" not in capsys.readouterr().out


def test_the_groups_travel_with_our_files(tmp_path):
    model = tiny()
    model.export(tmp_path)
    with safe_open(tmp_path / "vqgan.safetensors", "pt") as file:
        assert json.loads(file.metadata()["vqgan"])["groups"] == asdict(TINY.sizes)["groups"] == 4


@pytest.mark.parametrize("more", [[], ["--tileable"]])
@pytest.mark.parametrize("made", [CIFAR, TINY], ids=["cifar10", "papers"])
def test_dream_draws_with_any_run(invoke, folder, tiny_clip, made, more):
    model = seeded(lambda: Model(replace(made, adversary=0.0)))
    train(model, pictures(4, 32), 2)
    model.export(folder / "run" / "model")
    flags = ["--size", 64, "--steps", 3, "--cutouts", 4, "--low-res", 0, "--prior", "none", "--seed", 1]
    result = invoke("dream", "banana", "--clip", tiny_clip, "--vqgan", "run", *flags, *more, "-o", "a.png")
    assert result.exit_code == 0, result.stderr
    assert (folder / "a.png").stat().st_size > 100
