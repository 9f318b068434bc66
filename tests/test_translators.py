"""The translators' networks against a plain reading of the upstream layout, and the files that hold them."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from artcli.backends import translate
from artcli.errors import UsageError, WeightsError
from artcli.nn import translators
from artcli.nn.patchgan import PatchGAN
from artcli.nn.translators import InstanceNorm, Sizes, Translator, sizes_of
from artcli.pretrained import translators as translator_files
from tests.batches import seeded

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def in_full_precision(monkeypatch):
    monkeypatch.setattr(translate, "fast_dtype", lambda device: torch.float32)


def net(sizes, seed=0):
    """Random weights and running statistics, also where layers start at zero or one."""
    made = seeded(lambda: Translator(sizes), seed)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=rng))
        for buffer in made.buffers():
            if buffer.is_floating_point():  # not how many batches there were
                buffer.add_(0.3 * torch.rand(buffer.shape, generator=rng))
    return made.eval().requires_grad_(False)


# --- the networks, against the layout read plainly -------------------------------------------------------------------


class Plain:
    """The papers' networks straight from a checkpoint's tensors, one operation after the other."""

    def __init__(self, state):
        self.state = state

    def has(self, name):
        return f"{name}.weight" in self.state

    def conv(self, x, name, stride=1, padding=0, groups=1):
        return F.conv2d(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), stride, padding, groups=groups)

    def norm(self, x, name):
        """By the running statistics where there are weights, else each picture's channels by themselves."""
        if f"{name}.gain" in self.state:
            return x * self.state[f"{name}.gain"]
        if self.has(name):
            mean, variance = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
            weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
            mean, variance, weight, bias = (t[None, :, None, None] for t in (mean, variance, weight, bias))
            return (x - mean) / (variance + 1e-5).sqrt() * weight + bias
        mean = x.mean((2, 3), keepdim=True)
        variance = (x - mean).square().mean((2, 3), keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()

    @staticmethod
    def mirrored(x, margin):
        x = torch.cat((x[:, :, 1 : margin + 1].flip(2), x, x[:, :, -margin - 1 : -1].flip(2)), 2)
        return torch.cat((x[..., 1 : margin + 1].flip(3), x, x[..., -margin - 1 : -1].flip(3)), 3)

    def three(self, x, name, stride=1, padding=0):
        """A 3x3 convolution, or one of each channel and one of each place."""
        if self.has(name):
            return self.conv(x, name, stride, padding)
        return self.conv(self.conv(x, f"{name}.0", stride, padding, groups=x.shape[1]), f"{name}.1")

    def resnet(self, x, blocks, dropout):
        def layer(number):
            return f"model.{number}"

        x = self.norm(self.conv(self.mirrored(x, 3), layer(1)), layer(2)).relu()
        for number in (4, 7):
            x = self.norm(self.three(x, layer(number), 2, 1), layer(number + 1)).relu()
        for number in range(10, 10 + blocks):
            inside, second = f"{layer(number)}.conv_block", 6 if dropout else 5
            kept = self.norm(self.three(self.mirrored(x, 1), f"{inside}.1"), f"{inside}.2").relu()
            x = x + self.norm(self.three(self.mirrored(kept, 1), f"{inside}.{second}"), f"{inside}.{second + 1}")
        for number in (10 + blocks, 13 + blocks):
            x = self.norm(self.up(x, layer(number)), layer(number + 1)).relu()
        return self.conv(self.mirrored(x, 3), layer(blocks + 17)).tanh()

    def up(self, x, name):
        if not self.has(name):
            x = self.conv(x, f"{name}.0")
            x = self.mirrored(x.repeat_interleave(2, 2).repeat_interleave(2, 3), 1)
            return self.conv(x, f"{name}.1", groups=x.shape[1])
        weight = self.state[f"{name}.weight"]
        if len(weight) < weight.shape[1]:
            return self.conv(self.mirrored(x.repeat_interleave(2, 2).repeat_interleave(2, 3), 1), name)
        return F.conv_transpose2d(x, weight, self.state.get(f"{name}.bias"), 2, 1, 1)

    def unet(self, x, name="model"):
        outermost, inner = name == "model", f"{name}.model"
        first = 0 if outermost else 1
        kept = x if outermost else F.leaky_relu(x, 0.2)
        down = self.conv(kept, f"{inner}.{first}", 2, 1)
        innermost = self.state.get(f"{inner}.3.weight") is not None and not outermost
        if innermost:
            inside, last = down, 3
        else:
            down = down if outermost else self.norm(down, f"{inner}.2")
            inside, last = self.unet(down, f"{inner}.{1 if outermost else 3}"), 3 if outermost else 5
        weight, bias = self.state[f"{inner}.{last}.weight"], self.state.get(f"{inner}.{last}.bias")
        found = F.conv_transpose2d(inside.relu(), weight, bias, 2, 1)
        return found.tanh() if outermost else torch.cat((kept, self.norm(found, f"{inner}.{last + 1}")), 1)

    def __call__(self, x, sizes):
        kept = x[:, : sizes.channels]
        if sizes.grain:
            x = torch.cat((kept, self.state["grain"] * x[:, sizes.channels :]), 1)
        drawn = self.unet(x) if sizes.kind == "unet" else self.resnet(x, sizes.blocks, sizes.dropout)
        return self.state["skip"] * kept + 2 * drawn if sizes.residual else drawn


NORMALISED = [Sizes(width=4, norm=norm) for norm in ("instance", "batch")]
KINDS = {
    f"{sizes.describe()} {sizes.norm} {'dropout' if sizes.dropout else ''} {'resize' if sizes.resize else ''}"
    f"{' residual' if sizes.residual else ''}": sizes
    for base in NORMALISED
    for sizes in (
        *(replace(base, blocks=blocks, dropout=dropout) for blocks in (6, 9) for dropout in (False, True)),
        replace(base, blocks=2, resize=True),
        replace(base, blocks=2, resize=True, depthwise=True),
        replace(base, blocks=2, resize=True, residual=True),
        replace(base, blocks=2, channels=1),
        replace(base, kind="unet", blocks=7),
        replace(base, kind="unet", blocks=8, drawn=1),
    )
}
KINDS["ResNet-2 with gains"] = Sizes(width=4, blocks=2, norm="none", resize=True, residual=True)
KINDS["ResNet-2 with grain"] = replace(KINDS["ResNet-2 with gains"], grain=True)
KINDS["grey ResNet-2 with grain"] = Sizes(width=4, blocks=2, grain=True, channels=1, drawn=1)


def of(sizes):
    """Two pictures that the network takes; the inner levels of a U-Net need two places."""
    side = sizes.factor * (2 if sizes.kind == "unet" else 6)
    return torch.rand(2, sizes.given, side, side + sizes.factor, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("sizes", KINDS.values(), ids=KINDS)
def test_the_networks_are_the_papers(sizes):
    made, images = net(sizes), of(sizes)
    drawn = made(images)
    assert drawn.shape == (2, sizes.drawn, *images.shape[2:]) and drawn.std() > 0.01
    torch.testing.assert_close(drawn, Plain(made.state_dict())(images, sizes), rtol=0, atol=1e-4)
    torch.testing.assert_close(made(images[:1]), drawn[:1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("sizes", KINDS.values(), ids=KINDS)
def test_sizes_are_read_off_the_tensors(sizes):
    found = sizes_of(Translator(sizes).state_dict())
    assert found == sizes
    if sizes.kind == "unet":
        assert sizes_of(Translator(replace(sizes, dropout=True)).state_dict()) == sizes, "dropout leaves no trace"


def test_the_published_sizes():
    """ResNet-9 11.4 million parameters, U-Net-256 54.4 million: what the papers' code prints."""
    with torch.device("meta"):
        count = {
            name: sum(p.numel() for p in Translator(sizes).parameters())
            for name, sizes in {
                "resnet": Sizes(),
                "unet": Sizes(kind="unet", blocks=8, norm="batch"),
                "light": Sizes(width=32, blocks=6, depthwise=True, resize=True),
            }.items()
        }
    assert count["resnet"] == 11_378_179
    assert count["unet"] == 54_413_955
    assert 200_000 < count["light"] < 500_000


def test_only_the_three_inner_levels_of_512_drop():
    made = Translator(Sizes(kind="unet", width=2, blocks=8, dropout=True))
    dropping = [m.model[-1] for m in made.modules() if isinstance(m, translators.UnetLevel)]
    assert [isinstance(layer, torch.nn.Dropout) for layer in dropping] == [False] * 4 + [True] * 3 + [False]


def test_instance_normalisation():
    layer, x = InstanceNorm(), torch.randn(3, 4, 8, 6) * 3 + 1
    torch.testing.assert_close(layer(x), F.instance_norm(x))
    torch.testing.assert_close(layer(x[:1]), F.instance_norm(x)[:1])
    translators.statistics(layer, "study", margins=(0.25, 0.0))
    together = layer(x)
    torch.testing.assert_close(together[:, :, 2:6].mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    translators.statistics(layer, "fixed")
    torch.testing.assert_close(layer(x[:1]), together[:1])
    translators.statistics(layer, "own")
    torch.testing.assert_close(layer(x), F.instance_norm(x))


def test_the_discriminator_can_normalise_each_picture():
    discriminator = seeded(lambda: PatchGAN(3, 4, norm="instance"))
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(discriminator(images)[:1], discriminator(images[:1]))
    assert not any("running" in name for name in discriminator.state_dict())


# --- files ------------------------------------------------------------------------------------------------------------

SMALL = Sizes(width=4, blocks=1)


def load(path, **how):
    return translator_files.load(str(path), CPU, **how)


@pytest.mark.parametrize("sizes", [SMALL, Sizes(kind="unet", width=2, blocks=7, norm="batch")], ids=["resnet", "unet"])
@pytest.mark.parametrize("kind", [".pth", ".safetensors"])
def test_upstream_checkpoints_load_as_they_are(tmp_path, sizes, kind):
    made = net(sizes)
    state = {name: tensor.contiguous() for name, tensor in made.state_dict().items()}
    path = tmp_path / f"latest_net_G{kind}"
    (torch.save if kind == ".pth" else save_file)(state, path)
    loaded = load(path)
    found = replace(loaded.net.sizes, dropout=False)  # a U-Net's leaves no trace
    assert found == sizes and loaded.name == path.name and loaded.direction is None
    image = of(sizes)[0] / 2 + 0.5
    wanted = (Plain(state)(image[None] * 2 - 1, sizes)[0] + 1) / 2
    torch.testing.assert_close(translate.whole(image, loaded.net), wanted, atol=1e-4, rtol=0)


def test_old_and_wrapped_names_load_too(tmp_path):
    """Data-parallel wrapping, and the moments that PyTorch 0.3 kept for instance normalisation."""
    made = net(SMALL)
    state = {f"module.{name}": tensor for name, tensor in made.state_dict().items()}
    state |= {"module.model.2.running_mean": torch.zeros(4), "module.model.2.running_var": torch.ones(4)}
    torch.save(state, tmp_path / "G.pth")
    assert load(tmp_path / "G.pth").net.sizes == SMALL


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_resnet_that_enlarges_and_convolves(tmp_path, norm):
    """Written out as others have it: repeat the pixels, mirror the edge, convolve."""
    made, image = net(replace(SMALL, resize=True, norm=norm)), of(SMALL)[0] / 2 + 0.5
    layers = []
    for layer in made.model:
        if isinstance(layer, translators._Repeat):
            conv = torch.nn.Conv2d(layer.in_channels, layer.out_channels, 3, bias=layer.bias is not None)
            conv.load_state_dict(layer.state_dict())
            layers += [torch.nn.Upsample(scale_factor=2), torch.nn.ReflectionPad2d(1), conv]
        else:
            layers.append(layer)
    theirs = torch.nn.Sequential(*layers).eval()
    torch.save({f"model.{name}": tensor for name, tensor in theirs.state_dict().items()}, tmp_path / "G.pth")
    loaded = load(tmp_path / "G.pth")
    assert loaded.net.sizes == made.sizes
    with torch.no_grad():
        wanted = theirs(image[None] * 2 - 1)[0] / 2 + 0.5
    torch.testing.assert_close(translate.whole(image, loaded.net), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", [torch.nn.utils.spectral_norm, torch.nn.utils.parametrizations.spectral_norm])
def test_spectral_normalisation_is_done_once(tmp_path, form):
    made, image = seeded(lambda: Translator(replace(SMALL, norm="batch"))).requires_grad_(True), of(SMALL)[0] / 2 + 0.5
    for layer in list(made.modules()):
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            seeded(lambda layer=layer: form(layer))
    for _ in range(3):
        made.train()(image[None] * 2 - 1)
    torch.save(made.state_dict(), tmp_path / "G.pth")
    with torch.no_grad():
        wanted = made.eval()(image[None] * 2 - 1)[0] / 2 + 0.5
    torch.testing.assert_close(translate.whole(image, load(tmp_path / "G.pth").net), wanted, atol=1e-4, rtol=0)


def test_a_pair_of_upstream_checkpoints_is_a_folder(tmp_path):
    for name, seed in (("latest_net_G_A.pth", 1), ("latest_net_G_B.pth", 2)):
        torch.save(net(SMALL, seed).state_dict(), tmp_path / name)
    there, back = load(tmp_path), load(tmp_path, direction="BtoA")
    assert (there.direction, back.direction) == ("AtoB", "BtoA")
    assert there.fingerprint != back.fingerprint == load(tmp_path / "latest_net_G_B.pth").fingerprint


def test_our_own_files(tmp_path):
    sizes = replace(SMALL, depthwise=True, resize=True)
    made = net(sizes)
    translator_files.save(tmp_path / "b-to-a.safetensors", made, direction="BtoA", default="BtoA", size=64, scale=96)
    loaded = load(tmp_path)
    assert (loaded.direction, loaded.net.sizes, loaded.size, loaded.scale) == ("BtoA", sizes, 64, 96)
    image = torch.rand(3, 16, 16)
    wanted = translators.draw(made, image[None])[0]
    torch.testing.assert_close(translate.whole(image, loaded.net), wanted, atol=5e-3, rtol=0)
    with pytest.raises(UsageError, match="only BtoA"):
        load(tmp_path, direction="AtoB")
    with pytest.raises(UsageError, match="BtoA, not AtoB"):
        load(tmp_path / "b-to-a.safetensors", direction="AtoB")


def test_the_pictures_that_a_translator_has_learned_from(tmp_path):
    """What older files of ours do not say is 256; of upstream's nothing is known."""
    assert load("monet-mini").scale == load("monet-mini", direction="BtoA").scale == 256
    torch.save(net(SMALL).state_dict(), tmp_path / "latest_net_G.pth")
    assert load(tmp_path).scale is None


# --- edges of the photo ----------------------------------------------------------------------------------------------


def edges_back(slope, detail=1.0):
    """How much of a photo's finer brightness comes back over a drawing of a slope, and the photo's."""
    fine = 0.05 * (torch.arange(64) % 2 * 2 - 1.0).expand(3, 64, 64)
    small = photo(32, 32)
    whole = F.interpolate(small[None], (64, 64), mode="bicubic", align_corners=False)[0]
    drawn, large = slope * (small - 0.5) + 0.5, torch.full((3, 64, 64), 0.5)
    return translate.with_edges(large, whole + fine, drawn, small, detail) - large, fine


def test_edges_come_back_where_the_drawing_follows_the_photo():
    found, fine = edges_back(1.0)
    assert (found[:, 8:-8, 8:-8] / fine[:, 8:-8, 8:-8]).median() > 0.7
    assert edges_back(0.0)[0].abs().max() < 1e-6, "nothing over what is flat"
    assert edges_back(-1.0)[0].abs().max() < 1e-6, "nor over strokes of their own"
    torch.testing.assert_close(edges_back(1.0, 0.25)[0], found / 4)


OTHERS = {
    "discriminator": (PatchGAN(3, 4, norm="instance").layers.state_dict(), "discriminator"),
    "vgg": ({"features.0.weight": torch.zeros(4, 3, 3, 3)}, "image classifier"),
    "vqgan": ({"decoder.conv_in.weight": torch.zeros(1)}, "VQGAN"),
    "nothing known": ({"a": torch.zeros(1)}, "neither a ResNet nor a U-Net"),
    "not normalised": (
        {n: t for n, t in net(replace(SMALL, norm="batch")).state_dict().items() if "2." not in n},
        "lacks|neither",
    ),
    "four channels": (net(replace(SMALL, channels=4)).state_dict(), "4 channels"),
    "too much": (net(SMALL).state_dict() | {"model.99.weight": torch.zeros(1)}, "model.99.weight"),
    "another shape": (net(SMALL).state_dict() | {"model.4.weight": torch.zeros(8, 5, 3, 3)}, "4.weight is 8x5x3x3"),
}  # fmt: skip


@pytest.mark.parametrize("state, message", OTHERS.values(), ids=OTHERS)
def test_other_checkpoints_are_refused(tmp_path, state, message):
    torch.save({name: tensor.clone() for name, tensor in state.items()}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=message) as raised:
        load(tmp_path / "other.pth")
    assert "\n" not in str(raised.value) and "other.pth" in str(raised.value)


def test_what_else_is_refused(tmp_path):
    with pytest.raises(UsageError, match="neither a file nor known"):
        load("nowhere")
    with pytest.raises(WeightsError, match="holds no translator"):
        load(tmp_path)
    (tmp_path / "half.pth").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(WeightsError, match="damaged"):
        load(tmp_path / "half.pth")
    save_file(net(SMALL).state_dict(), tmp_path / "x.safetensors", {"artgen": json.dumps({"model": "vae"})})
    with pytest.raises(WeightsError, match="a vae"):
        load(tmp_path / "x.safetensors")
    assert asdict(SMALL)["width"] == 4


# --- as in training, which is how upstream applies them --------------------------------------------------------------

GOLDEN = Path(__file__).parent / "golden"  # outputs of pytorch-CycleGAN-and-pix2pix; see its README.md


def golden(name):
    """The checkpoint's path, its input (3, H, W) in 0..1, and how to compare an output in 0..1 with upstream's."""
    kept = np.load(GOLDEN / f"cyclegan-{name}.npz")
    step = int(kept["step"])

    def far(drawn, mode):
        return (drawn[:, ::step, ::step] * 2 - 1 - torch.from_numpy(kept[mode])).abs().max()

    image = torch.from_numpy(kept["input"].transpose(2, 0, 1) / 255).float()
    return GOLDEN / f"cyclegan-{name}_net_G.pth", image, far


@pytest.mark.parametrize("name", ["resnet_9blocks-batch", "unet_256-batch"])
def test_batch_normalisation_as_upstream_applies_it(name):
    path, image, far = golden(name)
    learned = translate.whole(image, load(path).net)
    by_picture = translate.whole(image, load(path, as_in_training=True, dropout=False).net)
    assert far(learned, "eval") < 1e-4 and far(by_picture, "train_mode") < 1e-4
    assert far(learned, "train_mode") > 0.1, "the two differ"


def test_dropout_follows_the_seed_and_can_be_left_out():
    path, image, far = golden("resnet_9blocks-instance-dropout")
    for how in ({}, {"as_in_training": True, "dropout": False}):
        assert far(translate.whole(image, load(path, **how).net), "eval") < 1e-4
    net = load(path, as_in_training=True).net
    first, again, other = ([*translate.translate(image, net, seed=seed)][-1].image() for seed in (1, 1, 2))
    assert torch.equal(first, again) and far(first, "eval") > 0.05 and (first - other).abs().max() > 0.05


def test_half_is_dropped_and_the_rest_doubled():
    layers, ones = (
        torch.nn.Sequential(translators.Dropout(0.5), translators.Dropout(0.5)).eval(),
        torch.ones(1, 8, 64, 64),
    )
    assert torch.equal(layers(ones), ones)
    translators.as_in_training(layers)
    twice = layers(ones)
    assert set(twice.unique().tolist()) == {0.0, 4.0}, "each layer drops other ones"
    assert twice.gt(0).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_a_unet_drops_where_its_file_says_so_or_is_pix2pixs(tmp_path):
    """Dropout leaves no trace in a U-Net's tensors; pix2pix, with batch normalisation, has it unless told otherwise."""
    for norm, dropout in (("batch", True), ("instance", False)):
        sizes = Sizes(kind="unet", width=2, blocks=6, norm=norm)
        torch.save(net(sizes).state_dict(), tmp_path / "latest_net_G.pth")
        loaded = load(tmp_path / "latest_net_G.pth", as_in_training=True).net
        assert translators.drops(loaded) == loaded.sizes.dropout == dropout
        for said in (True, False):
            made = net(replace(sizes, dropout=said))
            translator_files.save(
                tmp_path / "a-to-b.safetensors", made, direction="AtoB", default="AtoB", size=64, scale=96
            )
            assert load(tmp_path / "a-to-b.safetensors").net.sizes.dropout == said


# --- any size --------------------------------------------------------------------------------------------------------


def photo(height, width, seed=0):
    """Soft colours with some grain, so that its parts differ."""
    rng = torch.Generator().manual_seed(seed)
    soft = F.interpolate(torch.rand(1, 3, 5, 4, generator=rng), (height, width), mode="bicubic")[0]
    return (soft + 0.1 * torch.randn(3, height, width, generator=rng)).clamp(0, 1)


@given(st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=15)
def test_every_size_comes_back(height, width):
    loaded = Translator(SMALL).eval().requires_grad_(False)
    drawn = translate.whole(photo(height, width), loaded)
    assert drawn.shape == (3, height, width) and drawn.min() >= 0 and drawn.max() <= 1


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("sizes", [replace(SMALL, width=8, blocks=2), Sizes(kind="unet", width=4, blocks=3)])
def test_tiles_look_like_the_whole(sizes, norm):
    made, image = net(replace(sizes, norm=norm)), photo(203, 250)
    translators.as_in_training(made)
    whole = translate.whole(image, made)
    steps = list(translate.tiled(image, made, tile=96, overlap=48))
    assert [(s.done, s.total) for s in steps] == [(n, len(steps)) for n in range(1, len(steps) + 1)] and len(steps) > 5
    tiled = steps[-1].image()
    assert tiled.shape == whole.shape
    assert (tiled - whole).abs().mean() < 2 / 255
    alone = [s for s in translate.tiled(image, made, tile=96, overlap=48, shared=False)][-1].image()
    if sizes.kind == "resnet":
        assert (alone - whole).abs().mean() > 2 * (tiled - whole).abs().mean(), "sharing is what does it"
    again = translate.whole(image, made)
    torch.testing.assert_close(again, whole)


def test_grain_is_the_same_every_time_and_has_no_seams():
    made, image = net(replace(SMALL, norm="none", residual=True, grain=True)), 0.5 * torch.ones(3, 203, 250)
    whole = translate.whole(image, made)
    alive = whole[:, 60:140, 60:140].std((1, 2)).min()
    assert alive > 0.002, "what is even comes alive"
    torch.testing.assert_close(translate.whole(image, made), whole)
    *_, last = translate.tiled(image, made, tile=96, overlap=48)
    assert (last.image() - whole).abs().mean() < alive / 50


def test_windows_add_up_to_one():
    for length, tile, overlap in ((100, 32, 8), (64, 32, 16), (36, 32, 8), (32, 32, 8), (500, 96, 48)):
        total = torch.zeros(length)
        for start, ramp in translate.windows(length, tile, overlap, 4):
            assert (start % 4 == 0 and start + len(ramp) <= length) or length < tile
            total[start : start + len(ramp)] += ramp
        torch.testing.assert_close(total, torch.ones(length))


def test_grey_networks_take_colour_pictures():
    sizes = replace(SMALL, channels=1, drawn=1)
    made = net(sizes)
    drawn = translate.whole(photo(20, 20), made)
    assert drawn.shape == (3, 20, 20) and torch.equal(drawn[0], drawn[2])


def test_keeping_colours_keeps_the_difference_of_channels():
    image, drawn = 0.4 + 0.2 * photo(9, 9), 0.4 + 0.2 * photo(9, 9, 1)
    kept = translate.keep_color(image, drawn)
    torch.testing.assert_close(kept[0] - kept[1], image[0] - image[1])
    torch.testing.assert_close(translate.luma(kept), translate.luma(drawn))
