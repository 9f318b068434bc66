"""The weights that ship: whole, described, loadable by plain open_clip, and good for what they are for."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from artcli import weights
from artcli.backends import translate, upscale
from artcli.backends.stylize import fast
from artcli.backends.stylize.settings import Settings
from artcli.backends.stylize.styles import Style
from artcli.media import images, record
from artcli.models import diffusion
from artcli.nn import flow
from artcli.pretrained import adain as adain_files
from artcli.pretrained import clip as clips
from artcli.pretrained import diffusion as diffusion_files
from artcli.pretrained import translators as translator_files
from artcli.pretrained import upscaler
from artcli.pretrained import vqgan as vqgan_files
from tests.conftest import photograph

EXAMPLES = Path(__file__).parent.parent / "examples"
LARGEST, ALL = 40 * 2**20, 96 * 2**20  # bytes: a file, and what ships


@pytest.fixture(scope="module")
def mini():
    return clips.load("clip-mini", torch.device("cpu"), offline=True)


def test_the_manifest_says_how_every_bundled_file_was_made():
    manifest = json.loads((weights.bundled_dir() / "manifest.json").read_text(encoding="utf-8"))
    assert "clip-mini" in manifest
    for name, entry in manifest.items():
        assert {"kind", "licence", "command", "data", "quality", "files"} <= set(entry), name
        weights.verify(weights.look_up(name))
        assert max(file["bytes"] for file in entry["files"].values()) <= LARGEST
    assert sum(file["bytes"] for entry in manifest.values() for file in entry["files"].values()) <= ALL


def test_plain_open_clip_loads_clip_mini():
    import open_clip

    folder = weights.find("clip-mini", offline=True)
    model = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True)
    ours = clips.load(str(folder), torch.device("cpu"))
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(["red car"])
    assert torch.allclose(model.eval().encode_text(tokens, normalize=True), ours.encode_text(["red car"]), atol=1e-5)


@pytest.mark.parametrize(
    ("word", "near", "far"),
    [
        ("lighthouse by the sea", "lighthouse", "banana"),
        ("automobile", "red car", "jellyfish"),
        ("kitten", "cat", "truck"),
        ("crimson", "red", "green"),
        ("limousine", "car", "castle"),
    ],
)
def test_words_that_mean_the_same_lie_close(mini, word, near, far):
    a, b, c = mini.encode_text([word, near, far])
    assert a @ b > a @ c


@pytest.mark.parametrize("color", ["red", "green", "blue", "yellow"])
def test_a_plain_color_is_nearest_to_its_own_word(mini, color):
    # Of brighter greens that fill the whole picture it is not sure: it says blue as often.
    shades = {"red": (0.8, 0.1, 0.1), "green": (0.1, 0.4, 0.1), "blue": (0.1, 0.2, 0.8), "yellow": (0.9, 0.8, 0.1)}
    picture = torch.tensor(shades[color]).view(1, 3, 1, 1).expand(1, 3, mini.side, mini.side)
    features = F.normalize(mini.encode_image(picture), dim=1)
    scores = features @ mini.encode_text([f"a {word} car" for word in shades]).T
    assert list(shades)[int(scores.argmax())] == color


def similarities(invoke, steps, *flags):
    """To the prompt, of two dreams of this many steps."""
    how = ["--size", 64, "--steps", steps, "--cutouts", 8, "--prior", "none", "--seed", "0-1", "--json", "-q"]
    result = invoke("dream", "goldfish", *flags, *how, "--out", f"a{steps}.png")
    assert result.exit_code == 0, result.stderr
    return [json.loads(line)["similarity"] for line in result.stdout.splitlines() if "similarity" in line]


def test_drawing_with_it_finds_the_prompt(invoke, folder):
    begun, drawn = (similarities(invoke, steps, "--drawer", "fft") for steps in (1, 8))
    assert len(drawn) == 2 and min(drawn) > max(begun)


@pytest.fixture(scope="module")
def picture():
    """(3, 128, 128) in 0..1, with colours, edges and texture."""
    return images.resize(images.to_tensor(images.load(EXAMPLES / "castle.webp")), (128, 128))


def psnr(one, other):
    return -10 * (one - other).square().mean().log10().item()


def test_the_vqgan_keeps_a_picture(picture):
    model = vqgan_files.load("vqgan-mini", torch.device("cpu"), encodes=True, offline=True)
    with torch.inference_mode():
        codes = model.quantize.nearest(model.encode(picture[None]))
        kept = model.decode(model.quantize.look_up(codes))[0].clamp(0, 1)
        shuffled = model.decode(model.quantize.look_up(codes.flip(2)))[0].clamp(0, 1)
    assert codes.shape == (1, 16, 16) and len(codes.unique()) > 100
    assert psnr(kept, picture) > max(18, psnr(shuffled, picture) + 3)


def test_codes_draw_unless_a_picture_is_given(invoke, folder):
    few = ["--size", 64, "--steps", 2, "--cutouts", 2, "--low-res", 32, "--prior", "none", "--seed", 0]
    photograph(folder / "photo.png", (64, 64))
    for name, flags in {
        "words": [], "start": ["--init", "photo.png"], "both": ["--init", "photo.png", "--vqgan", "vqgan-mini"],
        "fft": ["--drawer", "fft"],
    }.items():  # fmt: skip
        assert invoke("dream", "goldfish", *few, *flags, "--out", f"{name}.png", "-q").exit_code == 0
        assert ("vqgan-mini" in record.read(Path(f"{name}.png"))["weights"]) == (name in {"words", "both"})


def test_drawing_with_the_vqgan_finds_the_prompt(invoke, folder):
    begun, drawn = (similarities(invoke, steps, "--drawer", "vqgan", "--low-res", 32) for steps in (1, 8))
    assert len(drawn) == 2 and min(drawn) > max(begun)
    assert "vqgan-mini" in record.read(Path("a8-0.png"))["weights"]


def test_the_upscaler_is_nearer_than_lanczos(picture):
    net = upscaler.load("upscaler", torch.device("cpu"), offline=True)
    small = images.resize(picture, (64, 64))
    assert psnr(upscale.upscale(small, net, 2), picture) > psnr(images.resize(small, (128, 128)), picture) + 0.3


def test_stylize_moves_a_picture_towards_a_style(invoke, folder, picture):
    images.save(folder / "photo.png", picture)
    images.save(folder / "style.png", picture.flip(0).roll(40, 2) ** 2)
    options = ["--size", 64, "-q", "--json"]
    found = [
        json.loads(invoke("stylize", "photo.png", "style.png", "-o", f"{n}.png", "--steps", n, *options).stdout)
        for n in (1, 30)
    ]
    assert found[1]["loss"] < found[0]["loss"]


def test_one_pass_takes_the_style_and_keeps_the_photo():
    picture, style = (
        images.to_tensor(images.load(EXAMPLES / "paint" / name)) for name in ("caps-dry.webp", "golden-gate.webp")
    )
    painter = fast.Stylizer(
        adain_files.load("adain", torch.device("cpu"), offline=True), [Style(style)], Settings(size=max(picture.shape))
    )
    painted = painter(picture)

    def apart(image):
        found = painter.scale(image[None])
        return sum(float((found[tap].mean - wanted.mean).square().mean()) for tap, wanted in painter.wanted[0].items())

    assert apart(painted) < 0.6 * apart(picture)
    colours = [image.mean((1, 2)) for image in (painted, picture, style)]
    assert (colours[0] - colours[2]).norm() < 0.5 * (colours[1] - colours[2]).norm()
    greys = torch.stack([F.avg_pool2d(image.mean(0)[None], 4).flatten() for image in (painted, picture)])
    assert torch.corrcoef(greys)[0, 1] > 0.7


def test_monet_keeps_what_is_in_a_photo_and_changes_its_look(picture):
    there, back = (
        translator_files.load("monet-mini", torch.device("cpu"), direction=way, offline=True).net
        for way in ("AtoB", "BtoA")
    )
    painted = translate.whole(picture, there).clamp(0, 1)
    assert 12 < psnr(painted, picture) < 30
    assert psnr(translate.whole(painted, back).clamp(0, 1), picture) > psnr(painted, picture)


def test_the_prior_draws_the_colours_that_it_is_told():
    """Seeds 0 to 3 of each: a red car has more red in it than a blue one, and the other way round."""
    model = diffusion_files.load("diffusion-mini", torch.device("cpu"), offline=True)

    def mean(words):
        text = model.tower([words])[0]
        drawn = diffusion.draw(model.net, [flow.Wish(text)], range(4), model.size, guidance=4.0, steps=5)
        return drawn.mean((0, 2, 3))

    red, blue = mean("a red car"), mean("a blue car")
    assert red[0] - red[2] > blue[0] - blue[2] + 0.1
