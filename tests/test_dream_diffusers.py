"""`artgen dream --drawer diffusers`: our loop beside diffusers' pipelines, and the command, on tiny random models."""

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import artcli
from artcli import state
from artcli.backends.dream import denoise as engine
from artcli.backends.dream.canvas import Canvas
from artcli.backends.dream.denoise import denoise
from artcli.backends.dream.prompts import parse
from artcli.backends.dream.settings import Denoising
from artcli.commands.dream.request import Request
from artcli.commands.shared import loop
from artcli.media import record, video
from artcli.pretrained import pipelines
from tests.conftest import masks, one_error_line, photograph, snapshot
from tests.test_readme_lines import LINES, furnish, words_of

diffusers = pytest.importorskip("diffusers")
from tests import stable  # noqa: E402  (needs diffusers)

CPU = torch.device("cpu")
SIZE = (stable.SIDE, stable.SIDE)
TRAILING = {"timestep_spacing": "trailing"}
SOLVERS = {
    "PNDMScheduler": {}, "EulerAncestralDiscreteScheduler": TRAILING, "DPMSolverMultistepScheduler": {},
    "HeunDiscreteScheduler": {}, "DDIMScheduler": {"prediction_type": "v_prediction"},
    "EulerDiscreteScheduler": {"use_karras_sigmas": True}, "UniPCMultistepScheduler": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Folders of models by their kind."""
    base = tmp_path_factory.mktemp("models")
    return {
        "plain": stable.save(base / "plain"),
        "turbo": stable.save(base / "quick", "EulerAncestralDiscreteScheduler", **TRAILING),
        "large": stable.save(base / "large", "EulerDiscreteScheduler", large=True),
        "inside": stable.save(base / "inside", inside=True),
    }


@pytest.fixture(scope="module")
def models(kinds):
    """The same, loaded in float32, as diffusers' pipelines compute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("artcli.device.fast_dtype", lambda device: torch.float32)
        found = {kind: pipelines.load(str(folder), CPU) for kind, folder in kinds.items()}
    for each in found.values():
        each.pipe.set_progress_bar_config(disable=True)
    return found


@pytest.fixture(params=SOLVERS)
def solved(request, models):
    """The plain model with another solver."""
    pipe, kept = models["plain"].pipe, models["plain"].pipe.scheduler
    pipe.scheduler = stable.solver(request.param, **SOLVERS[request.param])
    yield models["plain"]
    pipe.scheduler = kept


@pytest.fixture
def dream(invoke, kinds):
    """A short dream; what is given behind wins.  Fails unless it exits as expected."""

    def run(*args, model="plain", code=0):
        result = invoke("dream", "--drawer", "diffusers", "--model", kinds[model], "--steps", 3, *args)
        assert result.exit_code == code, result.stderr
        return result

    return run


def picture(size=SIZE):
    return torch.rand(3, *size[::-1], generator=torch.Generator().manual_seed(7))


def half():
    """A mask (1, H, W): the right half."""
    mask = torch.zeros(1, *SIZE)
    mask[..., SIZE[0] // 2 :] = 1
    return mask


def drawn(model, words="a red car", seed=3, size=SIZE, canvas=None, clip=None, **how):
    settings = Denoising("m", **{"steps": 4, "guidance": 7.5, **how})
    return list(denoise(model, parse(words), settings, size, seed=seed, canvas=canvas, clip=clip))


def theirs(pipe, words="a red car", seed=3, **how):
    rng = torch.Generator().manual_seed(seed)
    return pipe(words, generator=rng, output_type="pt", **{"num_inference_steps": 4, **how}).images[0]


def same(ours, other):
    assert ours.std() > 0.02  # a picture
    assert (ours - other).abs().max() < 2e-4


# --- the loop beside diffusers'


@pytest.mark.parametrize(
    ("kind", "how", "said"),
    [
        ("plain", {}, {"guidance_scale": 7.5}),
        ("plain", {"negative": "blue"}, {"guidance_scale": 7.5, "negative_prompt": "blue"}),
        ("turbo", {"guidance": 0.0}, {"guidance_scale": 0.0}),
        ("large", {"guidance": 5.0}, {"guidance_scale": 5.0}),
        ("large", {"negative": "blue"}, {"guidance_scale": 7.5, "negative_prompt": "blue"}),
    ],
)
def test_a_picture_is_that_of_the_pipeline(models, kind, how, said):
    same(drawn(models[kind], **how)[-1].image(), theirs(models[kind].pipe, height=SIZE[1], width=SIZE[0], **said))


def test_a_picture_is_that_of_the_pipeline_with_any_solver(solved):
    found = drawn(solved, steps=5)
    assert [frame.step for frame in found] == [1, 2, 3, 4, 5] and {frame.total for frame in found} == {5}
    same(found[-1].image(), theirs(solved.pipe, guidance_scale=7.5, num_inference_steps=5))


@pytest.mark.parametrize("kind", ["plain", "large"])
def test_a_photograph_is_drawn_anew_as_by_the_pipeline(models, kind):
    pipe = diffusers.AutoPipelineForImage2Image.from_pipe(models[kind].pipe)
    pipe.set_progress_bar_config(disable=True)
    found = drawn(models[kind], canvas=Canvas(picture()), strength=0.5)
    assert len(found) == 2
    same(found[-1].image(), theirs(pipe, image=picture()[None], strength=0.5, guidance_scale=7.5))


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("kind", ["plain", "inside"])
def test_a_mask_is_filled_as_by_the_pipeline(models, kind, strength):
    pipe = diffusers.AutoPipelineForInpainting.from_pipe(models[kind].pipe)
    pipe.set_progress_bar_config(disable=True)
    found = drawn(models[kind], canvas=Canvas(picture(), half()), strength=strength)[-1].image()
    how = {"image": picture()[None], "mask_image": half()[None], "strength": strength, "guidance_scale": 7.5}
    other = theirs(pipe, height=SIZE[1], width=SIZE[0], **how)
    inside = half()[0] > 0
    same(found[:, inside], other[:, inside])
    assert torch.equal(found[:, ~inside], picture()[:, ~inside])


# --- the loop by itself


def test_a_saved_step_goes_on_as_if_never_stopped(solved, tmp_path):
    found, settings = drawn(solved, steps=5), Denoising("m", 5, 7.5)
    for stopped in (1, 3):
        running = denoise(solved, parse("a red car"), settings, SIZE, seed=3)
        frame = [next(running) for _ in range(stopped)][-1]
        state.save(tmp_path / "state.pt", frame.state())
        kept = state.load(tmp_path / "state.pt")
        rest = list(denoise(solved, parse("a red car"), settings, SIZE, seed=3, state=kept))
        assert [each.step for each in rest] == list(range(stopped + 1, 6))
        assert torch.equal(rest[-1].image(), found[-1].image())


def artist(model, **how):
    return engine._Artist(
        model, parse("a red car"), Denoising("m", **{"steps": 4, "guidance": 7.5, **how}), SIZE, 3, None, None
    )


@pytest.mark.parametrize("kind", ["DDIMScheduler", "EulerDiscreteScheduler"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("karras", [False, True])
def test_what_the_net_expects_is_what_the_solver_says(models, monkeypatch, kind, prediction, karras):
    solver = stable.solver(kind, prediction_type=prediction, use_karras_sigmas=karras)
    monkeypatch.setattr(models["plain"].pipe, "scheduler", solver)
    working = artist(models["plain"])
    working.advance()
    time, latents = working.times[1], working.latents
    noisy = working.solver.scale_model_input(latents, time)
    said = working._ask(noisy, time)
    expected = working._expected(noisy, said, time)
    solved = working.solver.step(said, time, latents).pred_original_sample
    assert (expected - solved).norm() < 0.02 * solved.norm()  # Karras' times are rounded by the solver
    assert torch.allclose(working._said(noisy, expected, time), said, atol=1e-4)


def test_a_weight_is_a_factor_of_guidance(models):
    """Twice a text is the text at twice the guidance; a text and its opposite are none."""
    twice = artist(models["plain"], guidance=4.0)
    twice.weights = [2.0]
    noisy, time = twice.latents, twice.times[0]
    assert torch.allclose(twice._ask(noisy, time), artist(models["plain"], guidance=8.0)._ask(noisy, time), atol=1e-5)
    both = parse("a red car | a red car:-1")
    none = engine._Artist(models["plain"], both, Denoising("m", 4, 7.5), SIZE, 3, None, None)
    away = artist(models["plain"], guidance=1.0, negative="")
    away.told = away._tell([""])
    assert torch.allclose(none._ask(noisy, time), away._ask(noisy, time), atol=1e-4)


@pytest.mark.parametrize("canvas", [None, Canvas(picture((41, 35))), Canvas(picture((41, 35)), torch.ones(1, 35, 41))])
def test_any_size(models, canvas):
    assert drawn(models["plain"], size=(41, 35), canvas=canvas, steps=2)[-1].image().shape == (3, 35, 41)


def test_a_masked_window_is_drawn_as_large_as_the_model_draws(models):
    model = models["plain"]
    assert engine._drawn_size(model, (400, 100), masked=True) == (64, 16)
    assert engine._drawn_size(model, (16, 16), masked=True) == (32, 32)
    assert engine._drawn_size(model, (33, 16), masked=False) == (34, 16)


def test_clip_leads(models, clip):
    """CLIP finds the words better in what it has led, by its own score."""
    words = "a red car"
    plain, led = (drawn(models["plain"], words, clip=clip, clip_guidance=by)[-1] for by in (0.0, 0.3))
    guide = engine.Guide(clip, parse(words), 0)
    before, after = (torch.stack([guide.score(each.image()[None]) for _ in range(8)]).mean() for each in (plain, led))
    assert after > before + 0.01 and "loss" not in plain.metrics
    again = drawn(models["plain"], words, clip=clip, clip_guidance=0.3)[-1]
    assert torch.equal(again.image(), led.image())


def test_numbers_that_are_none_end_the_run(models, monkeypatch):
    monkeypatch.setattr(engine._Artist, "_ask", lambda self, noisy, time: noisy * float("nan"))
    with pytest.raises(engine.ArtgenError, match="not finite at step 1"):
        drawn(models["plain"])


# --- the command


def test_a_seed_gives_the_same_bytes_alone_and_in_a_batch(dream, folder):
    result = dream("a red car", "--seed", "0-2", "-o", "a.png")
    assert result.stdout.splitlines() == ["a-0.png", "a-1.png", "a-2.png"]
    dream("a red car", "--seed", 1, "-o", "b.png")
    assert Path("b.png").read_bytes() == Path("a-1.png").read_bytes() != Path("a-2.png").read_bytes()
    assert Image.open("b.png").size == SIZE


def test_a_record_makes_the_same_bytes_again(dream, invoke, folder, tiny_clip):
    photograph(folder / "photo.png", (40, 33))
    masks(folder, (40, 33), (8, 6, 30, 20))
    calls = {
        "turbo": ("turbo", "--steps", 2),
        "words": ("plain", "--negative", "dull", "--negative", "blue", "--guidance", 3, "--size", "33x41"),
        "init": ("large", "--init", "photo.png", "--prior-strength", 0.6, "--upscale", 2),
        "mask": ("inside", "--init", "photo.png", "--mask", "usual.png", "--feather", 2),
        "clip": ("plain", "--clip-guidance", 0.2, "--clip", tiny_clip),
    }
    for name, (model, *flags) in calls.items():
        dream("a red car", *flags, "-o", f"{name}.png", model=model)
        again = invoke("dream", "--from", f"{name}.png", "-o", f"{name}-again.png")
        assert again.exit_code == 0, again.stderr
        assert Path(f"{name}.png").read_bytes() == Path(f"{name}-again.png").read_bytes(), name
    found = record.read(Path("turbo.png"))
    assert found["parameters"]["guidance"] == 0 and "prior_strength" not in found["parameters"]
    assert record.read(Path("mask.png"))["parameters"]["prior_strength"] == 1
    other = invoke("dream", "--from", "words.png", "--seed", 99, "-o", "other.png")
    assert other.exit_code == 0 and Path("other.png").read_bytes() != Path("words.png").read_bytes()


def test_outside_the_mask_not_a_bit_changes(dream, folder):
    photograph(folder / "photo.png", (80, 56))
    inside = masks(folder, (80, 56), (20, 10, 50, 40))
    dream("a red car", "--init", "photo.png", "--mask", "usual.png", "--feather", 0, "-o", "a.png")
    before, after = (np.asarray(Image.open(name)) for name in ("photo.png", "a.png"))
    assert (before[~inside] == after[~inside]).all() and (before[inside] != after[inside]).any(1).mean() > 0.9


def test_a_film_shows_every_step(dream, folder):
    dream("a red car", "--fps", 5, "-o", "a.mp4", "--seed", 1)
    dream("a red car", "-o", "b.png", "--seed", 1)
    frames = list(video.read_frames(Path("a.mp4"), 5.0))
    assert len(frames) >= 3 and np.abs(frames[0].astype(int) - frames[2]).mean() > 2
    assert (np.asarray(Image.open("a.png")) == np.asarray(Image.open("b.png"))).all()


@pytest.mark.parametrize("model", ["plain", "turbo"])
def test_interrupted_and_gone_on_with_gives_the_same_bytes(dream, folder, monkeypatch, model):
    flags = ["a red car", "--steps", 5, "--fps", 5, "--seed", 1]
    dream(*flags, "-o", "whole.mp4", model=model)
    original = loop._why_stop
    monkeypatch.setattr(
        loop, "_why_stop", lambda frame, *more: "interrupted" if frame.step == 2 else original(frame, *more)
    )
    said = dream(*flags, "-o", "a.mp4", model=model, code=130).stderr
    assert "interrupted at step 2 of 5; saved, --resume goes on from here" in said
    assert Path("a.png").is_file() and list(video.read_frames(Path("a.mp4"), 5.0))
    monkeypatch.setattr(loop, "_why_stop", original)
    assert "going on from step 2" in dream(*flags, "-o", "a.mp4", "--resume", model=model).stderr
    for kind in ("png", "mp4"):
        assert Path(f"a.{kind}").read_bytes() == Path(f"whole.{kind}").read_bytes()


def test_a_time_limit_ends_it_with_what_there_is(dream, folder):
    made = json.loads(dream("a red car", "--steps", 50, "--time-limit", "0.001s", "-o", "a.png", "--json").stdout)
    assert not made["finished"] and made["steps"] == 1 and Path("a.png").is_file()


def test_a_dry_run_says_what_would_be_drawn(dream, folder):
    result = dream("a red car", "-n", "--json", "-o", "a.png", "--seed", 1, "--size", "64x48")
    told = json.loads(result.stdout)
    assert told["dry_run"] and told["steps"] == 3 and told["size"] == "64x48" and told["model"].endswith("plain")
    assert "3 steps, guidance 7.5" in result.stderr and snapshot(folder) == {}


def test_a_long_text_is_cut_and_said_to_be(dream, folder):
    result = dream("a very red car in a long street", "--steps", 1, "--json", "-o", "a.png")
    assert "pieces of a text" in json.loads(result.stdout)["unheard"][0] and "it is cut after" in result.stderr


HUB = {"stabilityai/sd-turbo": "turbo", "stabilityai/stable-diffusion-xl-base-1.0": "large"}


@pytest.mark.parametrize("line", [line for line in LINES if "--drawer diffusers" in line])
def test_a_line_of_the_docs_draws(invoke, kinds, folder, line):
    """With models of the same kinds."""
    words = words_of(line)
    furnish(words)
    result = invoke(*(kinds[HUB[word]] if word in HUB else word for word in words), "--steps", 2)
    assert result.exit_code == 0, result.stderr
    assert all(Path(path).exists() for path in result.stdout.split())


# --- what suits a model


def test_what_suits_a_model(kinds, tmp_path):
    usual = {kind: pipelines.usual(str(folder)) for kind, folder in kinds.items()}
    assert usual == {
        "plain": pipelines.PLAIN, "turbo": pipelines.TURBO, "large": pipelines.LARGE, "inside": pipelines.PLAIN,
    }  # fmt: skip
    assert pipelines.usual("somebody/sdxl-turbo") == pipelines.TURBO
    assert pipelines.usual("somebody/sdxl-base") == pipelines.LARGE
    assert pipelines.usual(str(shutil.copytree(kinds["plain"], tmp_path / "my-turbo"))) == pipelines.TURBO
    assert pipelines.side(kinds["plain"]) == stable.SIDE
    made = Request.from_values({"prompt": "a", "drawer": "diffusers", "model": str(kinds["turbo"]), "seed": "1"})
    assert made.denoising == Denoising(str(kinds["turbo"]), 4, 0.0) and made.settings.steps == 4


def test_from_python(kinds, folder):
    (made,) = artcli.dream("a red car", drawer="diffusers", model=kinds["plain"], steps=2, seed=1, out="a.png")
    assert made.paths == (Path("a.png"),) and made.facts["steps"] == 2 and made.facts["finished"]


def test_a_folder_is_found_among_the_weights(dream, invoke, kinds, folder):
    line = ["dream", "a", "--drawer", "diffusers", "--model", "plain", "--weights", kinds["plain"].parent, "--steps", 1]
    assert invoke(*line, "-o", "a.png").exit_code == 0


def test_a_fingerprint_is_of_the_weights(kinds, tmp_path):
    folder = Path(shutil.copytree(kinds["plain"], tmp_path / "copy"))
    assert pipelines.fingerprint(folder) == pipelines.fingerprint(kinds["plain"])
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert pipelines.fingerprint(folder) != pipelines.fingerprint(kinds["plain"])


# --- refusals


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["a ^ b"], "'a ^ b' has scenes, which --drawer diffusers does not draw; leave out the '^'"),
        (["a:1:0.5"], "'a:1:0.5': where a prompt stops pulling goes without --drawer diffusers"),
        (
            ["a", "--prior", "none", "--cutouts", 3],
            "--drawer diffusers goes without --prior, --cutouts",
        ),
        (["a", "--zoom", 1.1], "--drawer diffusers goes without --zoom"),
        (["a", "--preset", "official"], "--drawer diffusers goes without --preset"),
        (["a", "--image-prompt", "x.png"], "--drawer diffusers goes without --image-prompt"),
        (["a", "--clip", "clip-mini"], "--clip goes with --clip-guidance"),
        (["a", "--prior-strength", 0.5], "--prior-strength says how much of --init is drawn anew: add --init"),
        (["a | b", "--guidance", 0], "without guidance (--guidance 0) a model draws one text, without weights"),
        (["a", "--negative", "b", "--guidance", 1], "without guidance (--guidance 1) a model draws one text"),
        (["a", "--drawer", "fft"], "--model goes with --drawer diffusers"),
        (["a", "--model", "nowhere"], "--model nowhere: there is no such folder, and names on the hub are OWNER/NAME"),
        (["a", "--model", __file__], f"--model {__file__} is a file; give a folder"),
        ([], "the prompt is empty"),
    ],
)
def test_what_does_not_go_with_it_is_refused_in_a_line(dream, folder, flags, said):
    assert one_error_line(dream(*flags, "-o", "a.png", code=2).stderr).startswith(said)
    assert not Path("a.png").exists()


def test_a_model_is_needed(invoke, folder):
    result = invoke("dream", "a", "--drawer", "diffusers")
    assert result.exit_code == 2 and "needs --model: a folder, or a name on the hub" in one_error_line(result.stderr)


def test_a_film_is_not_drawn_anew(dream, folder):
    with video.VideoWriter(folder / "film.mp4", (48, 32), 10) as writer:
        writer.write(np.zeros((32, 48, 3), np.uint8))
    said = one_error_line(dream("a", "--init", "film.mp4", "-o", "a.mp4", code=2).stderr)
    assert said.startswith("--drawer diffusers draws pictures, and film.mp4 is a film")


def test_without_the_extra(dream, folder, monkeypatch):
    monkeypatch.setattr(pipelines, "find_spec", lambda name: None if name == "diffusers" else name)
    said = one_error_line(dream("a", "-o", "a.png", code=2).stderr)
    assert said == "--drawer diffusers needs diffusers: pip install 'artgen[diffusers]'"


def test_a_name_of_the_hub_is_not_asked_for_offline(dream, invoke, folder, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", lambda *args: 1 / 0)
    result = dream("a", "--model", "somebody/something", "--offline", "-o", "a.png", code=3)
    assert one_error_line(result.stderr).startswith("somebody/something is not on this machine, and --offline forbids")


def test_a_folder_never_asks_the_network(dream, folder, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *args: 1 / 0)
    dream("a", "--steps", 1, "-o", "a.png")


def test_a_name_of_the_hub_is_downloaded(dream, kinds, folder, monkeypatch):
    asked = []
    monkeypatch.setattr(
        diffusers.DiffusionPipeline, "download", lambda name, **how: asked.append((name, how)) or str(kinds["plain"])
    )
    dream("a", "--model", "somebody/something", "--steps", 1, "-o", "a.png")
    assert {name for name, _ in asked} == {"somebody/something"}
    assert all(how["use_safetensors"] and not how["local_files_only"] for _, how in asked)
    assert record.read(Path("a.png"))["parameters"]["model"] == "somebody/something"


def pickled(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))


def truncated(folder):
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:2000])


def settings(name, **changes):
    def change(folder):
        found = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**found, **changes}))

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (pickled, "broken/unet/diffusion_pytorch_model.bin is a pickle, which may hold code and is not read"),
        (truncated, "broken/unet/diffusion_pytorch_model.safetensors is damaged or no weights file"),
        (lambda folder: (folder / "model_index.json").unlink(), "broken has no model_index.json"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "broken/model_index.json is damaged"),
        (lambda folder: shutil.rmtree(folder / "vae"), "broken/vae has no weights"),
        (
            settings("model_index.json", _class_name="FluxPipeline"),
            "broken holds a FluxPipeline; what is drawn with is",
        ),
        (settings("model_index.json", unet=["my_net", "Net"]), "broken/model_index.json wants code of unet's own"),
        (settings("unet/config.json", in_channels=8), "broken is for another use"),
        (settings("unet/config.json", time_cond_proj_dim=8), "broken is for another use"),
    ],
)
def test_what_is_no_such_model_is_refused_in_a_line(dream, kinds, folder, damage, said):
    shutil.copytree(kinds["plain"], "broken")
    damage(Path("broken"))
    assert one_error_line(dream("a", "--model", "broken", "-o", "a.png", "-q", code=3).stderr).startswith(said)


def test_a_model_that_fills_masks_needs_one(dream, folder):
    photograph(folder / "photo.png", SIZE)
    for flags in ([], ["--init", "photo.png"]):
        said = one_error_line(dream("a", *flags, "-o", "a.png", "-q", model="inside", code=2).stderr)
        assert "fills what a mask leaves out: add --init and --mask" in said


def test_weights_in_half_precision_only_are_read(dream, kinds, folder):
    shutil.copytree(kinds["plain"], "half")
    for path in list(Path("half").glob("*/*.safetensors")):
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    dream("a", "--model", "half", "--steps", 1, "-o", "a.png")
