"""`artgen sample` on finished models without a run: VQGAN and diffusion models by name, folder and file."""

import dataclasses
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artcli import weights
from artcli.models import cyclegan, diffusion
from artcli.nn.gpt import GPT
from artcli.nn.vqgan import VQGAN, Sizes
from artcli.pretrained import vqgan as vqgan_files
from artcli.training import checkpoint
from tests.conftest import one_error_line, photograph

KINDS = {  # in the names and sizes of the papers' checkpoints
    "taming": Sizes((32, 64), 1, (1,), True, 8, 16, 6),
    "gumbel": Sizes((32, 64), 1, (), True, 8, 16, 8, gumbel=True),
    "latent": Sizes((32, 32), 1, (), False, 4, 16, 4),
}


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def stored(path, kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = VQGAN(KINDS[kind]).state_dict()
    prefix = "first_stage_model." if kind == "latent" else ""
    named = {prefix + name: tensor for name, tensor in state.items()}
    torch.save({"state_dict": named | {"loss.logvar": torch.zeros(())}, "epoch": 3}, path)
    return path


@pytest.fixture
def photo(folder):
    return photograph(folder / "photo.png", (32, 32))


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_of_the_papers_codes_a_picture(invoke, folder, photo, kind):
    """What the networks themselves give, whose agreement with the originals `shared/golden` is the measure of."""
    stored(folder / "last.ckpt", kind)
    result = invoke("sample", "last.ckpt", "--reconstruct", "photo.png", "--size", 32)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "last-reconstruct.png\n" and "vqgan of last.ckpt, 32x32" in result.stderr
    net = vqgan_files.load("last.ckpt", torch.device("cpu"), encodes=True)
    picture = torch.from_numpy(pixels("photo.png")).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        book = net.quantize
        drawn = net.decode(book.look_up(book.choose(net.encode(picture)))).clamp(0, 1)[0]
    sheet = pixels("last-reconstruct.png")
    assert (sheet[:32] == pixels("photo.png")).all()
    assert np.abs(sheet[-32:] - 255 * drawn.permute(1, 2, 0).numpy()).max() < 0.6


def test_by_name_folder_and_file_it_is_the_same_model(invoke, folder, photo):
    bundled = weights.bundled_dir() / "vqgan-mini"
    (folder / "runs" / "model").mkdir(parents=True)
    shutil.copy(bundled / "vqgan.safetensors", folder / "runs" / "model")
    with zipfile.ZipFile(folder / "vq.zip", "w") as archive:
        archive.write(stored(folder / "model.ckpt", "taming"), "model.ckpt")
    for number, run in enumerate(("vqgan-mini", bundled, "runs", "runs/model", "runs/model/vqgan.safetensors")):
        result = invoke("sample", run, "--reconstruct", "photo.png", "--size", 64, "-o", f"{number}.png")
        assert result.exit_code == 0, result.stderr
    assert all((pixels(f"{number}.png") == pixels("0.png")).all() for number in range(5))
    result = invoke("sample", "vq.zip", "--reconstruct", "photo.png", "--json", "--size", "33x40")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["paths"] == ["vq-reconstruct.png"]
    assert Image.open("vq-reconstruct.png").size == (33, 82)


def test_between_pictures_and_beside_a_run(invoke, folder, photo):
    photograph(folder / "other.png", (40, 30))
    stored(folder / "last.ckpt", "gumbel")
    flags = ["--between", "photo.png", "other.png", "--size", 32]
    result = invoke("sample", "last.ckpt", *flags, "-o", "way.png")
    assert result.exit_code == 0, result.stderr
    result = invoke("sample", "last.ckpt", "--compare", "vqgan-mini", "--reconstruct", "photo.png", "--size", 32)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "last-compare.png\n"


def test_a_film_between_pictures_by_a_bundled_model(invoke, folder, photo):
    photograph(folder / "other.png", (40, 30))
    flags = ["--between", "photo.png", "other.png", "--size", 32, "--fps", 4, "--duration", 1]
    result = invoke("sample", "vqgan-mini", *flags, "-o", "way.gif")
    assert result.exit_code == 0, result.stderr
    film = Image.open("way.gif")
    first = np.asarray(film.convert("RGB")).astype(int)
    film.seek(film.n_frames - 1)
    last = np.asarray(film.convert("RGB")).astype(int)
    assert invoke("sample", "vqgan-mini", "--reconstruct", "photo.png", "--size", 32, "-o", "a.png").exit_code == 0
    assert film.n_frames == 4 and np.abs(first - pixels("a.png")[-32:]).mean() < 8 < np.abs(first - last).mean()


def test_a_diffusion_model_draws_what_words_say(invoke, folder, tiny_prior):
    for number, run in enumerate((tiny_prior, tiny_prior / diffusion.FILE)):
        result = invoke("sample", run, "--prompt", "red car", "--seed", "3-4", "-o", f"{number}.png")
        assert result.exit_code == 0, result.stderr
    assert f"diffusion of {tiny_prior}, 16x16" in invoke("sample", tiny_prior, "--prompt", "a", "-n").stderr
    assert (pixels("0.png") == pixels("1.png")).all()
    assert "give --prompt" in one_error_line(invoke("sample", tiny_prior, "-q").stderr)
    result = invoke("sample", tiny_prior, "--prompt", "car " * 15, "--negative", "горы", "-n", "-q")
    cut, foreign = result.stderr.splitlines()
    assert "cut after '... " in cut and foreign.endswith("cannot know these words: горы")
    result = invoke("sample", tiny_prior, "--prompt", "a", "b", "--neighbours")
    assert result.exit_code == 2 and "unexpected" in result.stderr
    result = invoke("sample", tiny_prior, "--prompt", "a", "--prompt", "b", "--interpolate", "-o", "way.png")
    assert result.exit_code == 0, result.stderr
    for flag in ("--neighbours", "--rate"):
        line = one_error_line(invoke("sample", tiny_prior, "--prompt", "a", flag, "-q").stderr)
        assert "does not say which pictures it was trained on" in line


def test_a_diffusion_model_that_knows_no_words(invoke, folder):
    shape = {"widths": (8, 16), "blocks": (1, 1), "attention": (False, True), "features": 16, "size": 16, "texts": 0}
    diffusion.Model(diffusion.Config(**shape)).export(folder / "model")
    result = invoke("sample", "model", "--count", 2)
    assert result.exit_code == 0, result.stderr
    line = one_error_line(invoke("sample", "model", "--prompt", "a", "-q", "-o", "b.png").stderr)
    assert "told nothing in words" in line


def test_a_run_that_draws_from_words_is_tried_with_those_asked_for(invoke, folder, photo, tiny_clip):
    """Without words of the settings there were none for a dry run, nor for a sheet that compares."""
    shape = {"widths": (8, 16), "blocks": (1, 1), "attention": (False, True), "features": 16, "size": 16, "texts": 32}
    config = diffusion.Config(**shape, clip=str(tiny_clip))
    told = {"model": "diffusion", "config": dataclasses.asdict(config), "data": {"path": "gone"}, "seed": 0, "step": 1}
    (folder / "run").mkdir()
    checkpoint.export(folder / "run" / "weights.safetensors", diffusion.Model(config).state_dict(), told)
    assert invoke("sample", "run", "--prompt", "red car", "--dry-run").exit_code == 0
    result = invoke("sample", "run", "--prompt", "red car", "--compare", "run", "--reconstruct", "photo.png")
    assert result.exit_code == 0, result.stderr


# --- both stages of the paper in one file --------------------------------------------------------------------------


CODES, WIDTH, HEADS = 16, 32, 4
PROJECT = """model:
  target: taming.models.cond_transformer.Net2NetTransformer
  params:
    transformer_config:
      params:
        vocab_size: 16
        n_head: 4
    cond_stage_config:
"""
KNOWN = {
    "classes": PROJECT + "      target: taming.models.util.Labelator\n      params:\n        n_classes: 3\n",
    "nothing": PROJECT + "      __is_unconditional__\n",
}


def two_stages(path, layers=2, side=4, codes=CODES, **changed):
    """A checkpoint as the paper's Net2NetTransformer writes it, with masks and losses; and its transformer."""
    rng = torch.Generator().manual_seed(0)

    def random(*shape):
        return 0.3 * torch.randn(*shape, generator=rng)

    net = {"tok_emb.weight": random(codes, WIDTH), "pos_emb": random(1, side**2, WIDTH)}
    for layer in range(layers):
        at = f"blocks.{layer}"
        for name in ("ln1", "ln2"):
            net |= {f"{at}.{name}.weight": 1 + random(WIDTH), f"{at}.{name}.bias": random(WIDTH)}
        for name in ("key", "query", "value", "proj"):
            net |= {f"{at}.attn.{name}.weight": random(WIDTH, WIDTH), f"{at}.attn.{name}.bias": random(WIDTH)}
        net[f"{at}.attn.mask"] = torch.ones(1, 1, side**2, side**2).tril()
        net |= {f"{at}.mlp.0.weight": random(4 * WIDTH, WIDTH), f"{at}.mlp.0.bias": random(4 * WIDTH)}
        net |= {f"{at}.mlp.2.weight": random(WIDTH, 4 * WIDTH), f"{at}.mlp.2.bias": random(WIDTH)}
    net |= {"ln_f.weight": 1 + random(WIDTH), "ln_f.bias": random(WIDTH), "head.weight": random(codes, WIDTH)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = VQGAN(dataclasses.replace(KINDS["taming"], codes=codes)).state_dict()
    state = {f"first_stage_model.{name}": tensor for name, tensor in first.items()}
    state |= {"first_stage_model.loss.logvar": torch.zeros(())}
    state |= {f"transformer.{name}": tensor for name, tensor in net.items()} | changed
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": {n: t for n, t in state.items() if t is not None}, "epoch": 3, "global_step": 9}, path)
    gpt = GPT(codes, codes, side**2, WIDTH, layers, HEADS)
    gpt.load_state_dict({name: tensor for name, tensor in net.items() if not name.endswith("mask")})
    return gpt


def drawn_by_hand(path, gpt, seed, token, size=(4, 4)):
    """The picture of the codes that the transformer draws behind this token."""
    net = vqgan_files.load(str(path), torch.device("cpu"))
    with torch.no_grad():
        codes = gpt.sample([seed], gpt.tok_emb(torch.tensor([token])), (4, 4), size)
        return 255 * net.decode(net.quantize.look_up(codes)).clamp(0, 1)[0].permute(1, 2, 0).numpy()


def test_both_stages_of_the_paper_without_classes(invoke, folder):
    gpt = two_stages(folder / "last.ckpt")
    (folder / "last.yaml").write_text(KNOWN["nothing"])
    result = invoke("sample", "last.ckpt", "--seed", "5-5", "-o", "a.png")
    assert result.exit_code == 0, result.stderr
    assert "prior of last.ckpt, 8x8" in result.stderr
    assert np.abs(pixels("a.png") - drawn_by_hand("last.ckpt", gpt, 5, 0)).max() < 0.6
    line = one_error_line(invoke("sample", "last.ckpt", "--class", "1", "-q").stderr)
    assert line.endswith("was not trained to tell classes apart: leave --class out.")
    result = invoke("sample", "last.ckpt", "--seed", "5-5", "--size", "36x32", "-o", "b.png")
    assert result.exit_code == 0, result.stderr
    assert np.abs(pixels("b.png") - drawn_by_hand("last.ckpt", gpt, 5, 0, (16, 18))).max() < 0.6


def test_both_stages_of_the_paper_with_classes(invoke, folder):
    """In the folders that the paper's code makes."""
    gpt = two_stages(folder / "logs" / "checkpoints" / "last.ckpt")
    (folder / "logs" / "configs").mkdir()
    (folder / "logs" / "configs" / "2021-project.yaml").write_text(KNOWN["classes"])
    path = "logs/checkpoints/last.ckpt"
    result = invoke("sample", path, "--class", "2", "--seed", "5-5", "-o", "a.png")
    assert result.exit_code == 0, result.stderr
    assert np.abs(pixels("a.png") - drawn_by_hand(path, gpt, 5, 2)).max() < 0.6
    line = one_error_line(invoke("sample", path, "--class", "3", "-q").stderr)
    assert "--class '3' is not known; there are: 0, 1, 2, all." in line
    assert invoke("sample", path, "--seed", "4-4", "-o", "b.png").exit_code == 0
    assert np.abs(pixels("b.png") - drawn_by_hand(path, gpt, 4, 1)).max() < 0.6, "a class of the seed's own"


def test_both_stages_without_a_configuration(invoke, folder, photo):
    two_stages(folder / "last.ckpt")
    for number, flags in enumerate(([], ["--class", "0"], ["--class", "7"])):
        assert invoke("sample", "last.ckpt", *flags, "--seed", "5-5", "-o", f"{number}.png").exit_code == 0
    assert (pixels("0.png") == pixels("1.png")).all() and (pixels("1.png") != pixels("2.png")).any()
    result = invoke("sample", "last.ckpt", "--complete", "photo.png", "--keep", "left:1/2", "-o", "c.png")
    assert result.exit_code == 0, result.stderr


BROKEN = {
    "is a prior of another codebook: it knows 12 codes, its first stage 16": {"head.weight": torch.zeros(12, WIDTH)},
    "lacks 'blocks.1.mlp.2.bias' of the transformer": {"blocks.1.mlp.2.bias": None},
    "holds no transformer that artgen knows": {"ln_f.bias": torch.zeros(3)},
}


@pytest.mark.parametrize("says", BROKEN)
def test_second_stages_that_do_not_fit(invoke, folder, says):
    two_stages(folder / "last.ckpt", **{f"transformer.{name}": value for name, value in BROKEN[says].items()})
    result = invoke("sample", "last.ckpt", "-q")
    assert result.exit_code == 3 and says in one_error_line(result.stderr)


def test_a_second_stage_that_is_told_pictures(invoke, folder):
    two_stages(folder / "last.ckpt", **{"cond_stage_model.quantize.embedding.weight": torch.zeros(4, 4)})
    result = invoke("sample", "last.ckpt", "-q")
    assert result.exit_code == 3 and "draws from other pictures, such as depth" in one_error_line(result.stderr)


REFUSED = [
    (["clip-mini"], 2, "kind 'clip'"),
    (["monet-mini"], 2, "artgen cyclegan PICTURES --model monet-mini"),
    (["vqgan-mni"], 2, "no run vqgan-mni"),
    (["vqgan-mini"], 2, "cannot do random samples; it can do: --reconstruct, --between. Its second stage can"),
    (["vqgan-mini", "--reconstruct", "photo.png", "--checkpoint", "best"], 2, "--checkpoint chooses within a run"),
    (["photo.png", "--reconstruct", "photo.png"], 3, "no weights file"),
    (["cut.safetensors"], 3, "cut.safetensors is damaged"),
    (["cut.ckpt", "--reconstruct", "photo.png"], 3, "cut.ckpt is damaged"),
    (["odd.safetensors"], 2, "was not written by `artgen train`"),
    (["state.pt"], 3, "state.pt is no VQGAN"),
    (["."], 2, "no run.toml"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), REFUSED, ids=[" ".join(words) for words, _, _ in REFUSED])
def test_what_is_no_such_model(invoke, folder, photo, arguments, code, says):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, folder / "odd.safetensors")
    torch.save({"a": torch.zeros(2)}, folder / "state.pt")
    for suffix, whole in ((".safetensors", "odd.safetensors"), (".ckpt", "state.pt")):
        Path(f"cut{suffix}").write_bytes(Path(whole).read_bytes()[:-20])
    result = invoke("sample", *arguments, "-q")
    assert result.exit_code == code and says in one_error_line(result.stderr)
    assert not list(folder.glob("*-*.png"))


def test_a_damaged_diffusion_model(invoke, folder, tiny_prior):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(tiny_prior / diffusion.FILE, "pt") as file:
        told, tensors = json.loads(file.metadata()["diffusion"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    changes = ({"widths": [8, 32]}, {"size": 15}, {"size": "big"}, {"new": 1}, {"widths": None})
    for text in ("no JSON", "[1]", *(json.dumps(told | changed) for changed in changes)):
        save_file(tensors, folder / "a.safetensors", metadata={"diffusion": text})
        result = invoke("sample", "a.safetensors", "--prompt", "a", "-q")
        assert result.exit_code == 3 and "a.safetensors is damaged" in one_error_line(result.stderr)


def test_a_translator_names_the_verb_that_applies_it(invoke, folder):
    config = cyclegan.Config(size=32, crop=32, width=4, blocks=1, discriminator_width=4)
    told = {"model": "cyclegan", "config": dataclasses.asdict(config), "data": {"path": "gone"}, "seed": 0, "step": 1}
    (folder / "run").mkdir()
    checkpoint.export(folder / "run" / "weights.safetensors", cyclegan.Model(config).state_dict(), told)
    line = one_error_line(invoke("sample", "run", "-q").stderr)
    assert line.endswith("it translates pictures, by artgen cyclegan PICTURES --model run.")


def test_one_is_one(invoke, folder, photo):
    stored(folder / "last.ckpt", "taming")
    flags = ["last.ckpt", "--reconstruct", "photo.png", "--size", 32]
    assert "dry run: 1 picture, about" in invoke("sample", *flags, "-n").stderr
    assert "sample: 1 picture reconstructed" in invoke("sample", *flags).stderr
