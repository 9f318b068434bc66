"""`artgen dream` from a prior's sketch: what comes first, what goes on from it, and what is refused."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artcli.backends.dream import begin, rivals, steer
from artcli.backends.dream.canvas import Canvas
from artcli.backends.dream.prior import Prior
from artcli.backends.dream.prompts import parse
from artcli.backends.dream.settings import Camera, Settings, Sketching
from artcli.backends.dream.story import Story
from artcli.backends.dream.travel import travel
from artcli.commands.shared import loop
from artcli.media import record, video
from artcli.models import diffusion
from artcli.pretrained import diffusion as diffusion_files
from tests.conftest import one_error_line, photograph

CPU = torch.device("cpu")
HOW = Sketching(candidates=3, steps=4)


@pytest.fixture
def model(tiny_prior):
    return diffusion_files.load(str(tiny_prior), CPU)


@pytest.fixture
def prior(model, clip):
    return lambda words="a cat", how=HOW: Prior(model, clip, parse(words), how)


def others(clip, words="a cat"):
    return rivals.embed(clip, torch.stack([e for _, e in steer.texts(clip, parse(words))]))


def sketch(prior, clip, seed=0, height=64, width=64, photo=None):
    return prior.sketch(seed, height, width, others(clip), photo)


# --- the sketch -------------------------------------------------------------------------------------------------------


def test_there_is_a_picture_for_every_step_and_the_same_again(prior, clip):
    one, two = sketch(prior(), clip), sketch(prior(), clip)
    assert len(one) == HOW.steps and all(p.shape == (3, 16, 16) for p in one)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert min(p.min() for p in one) >= 0 and max(p.max() for p in one) <= 1


def test_seed_and_words_matter(prior, clip):
    found = [sketch(prior(), clip)[-1], sketch(prior(), clip, seed=1)[-1], sketch(prior("a dog"), clip)[-1]]
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_clip_picks_the_candidate(prior, clip):
    """The best of three by its own score; with a weight below 0 the worst."""
    how = Sketching(3, 4, clip_guidance=0.0)
    liked, disliked = prior("a cat", how), prior("a cat | a cat:-2", how)
    disliked.wishes = liked.wishes
    assert torch.equal(sketch(liked, clip)[-1], best_of(liked, clip, 1))
    assert torch.equal(sketch(disliked, clip)[-1], best_of(liked, clip, -1))


def test_clip_leads_the_sketches_to_the_words(prior, clip):
    """Better found, by CLIP as a whole and for every candidate; at 0 as the solver alone draws them."""

    def found(clip_guidance):
        told = prior(how=Sketching(3, 8, clip_guidance=clip_guidance))
        noise = diffusion.start_noise(told.model.net, [0, 1, 2], 16, 16)
        *_, state = told._solve(noise, None, told._lead(0, others(clip)))
        return diffusion.to_picture(state.picture), told

    (free, told), (led, _) = found(0.0), found(0.3)
    *_, plain = diffusion.sample(
        told.model.net, told.wishes, diffusion.start_noise(told.model.net, [0, 1, 2], 16, 16), 4.0, 8
    )
    assert torch.equal(free, diffusion.to_picture(plain.picture))
    assert (told._scores(led, others(clip)) > told._scores(free, others(clip))).all()


@torch.no_grad()
def best_of(prior, clip, sign):
    from artcli.models.diffusion import start_noise, to_picture

    *_, state = prior._solve(start_noise(prior.model.net, [0, 1, 2], 16, 16), None, prior._lead(0, others(clip)))
    pictures = to_picture(state.picture)
    return pictures[int((sign * prior._scores(pictures, others(clip))).argmax())]


@pytest.mark.parametrize(
    ("size", "sketched"), [((64, 64), (16, 16)), ((64, 96), (16, 24)), ((96, 64), (24, 16)), ((40, 200), (16, 80))]
)
def test_the_sketch_has_the_shape_of_the_picture(prior, clip, size, sketched):
    assert sketch(prior(), clip, 0, *size)[-1].shape == (3, *sketched)


def test_a_photograph_is_drawn_anew_by_its_part(prior, clip):
    photo = torch.rand((3, 64, 64), generator=torch.Generator().manual_seed(5))
    small = torch.nn.functional.adaptive_avg_pool2d(photo, 16)

    def away(strength):
        found = sketch(prior(how=Sketching(3, 4, strength=strength)), clip, photo=photo)[-1]
        return (found - small).abs().mean().item()

    assert away(0.02) < 0.05 < away(0.9)
    assert torch.equal(
        sketch(prior(how=Sketching(3, 4, strength=1.0)), clip, photo=photo)[-1],
        sketch(prior(how=Sketching(3, 4, strength=1.0)), clip)[-1],
    ), "at strength 1 nothing is left of it"


# --- the loop after it ------------------------------------------------------------------------------------------------


SETTINGS = Settings(48, 48, steps=5, cutouts=4, low_res=0)


def counted(frames):
    """Without the drafts, one by one: a picture is rendered when it is asked for."""
    return (frame for frame in frames if not frame.draft)


def drawn(*args):
    """What `begin.sketching` returns."""
    found = []

    def whole():
        found.append((yield from begin.sketching(*args)))

    assert all(frame.draft for frame in whole())
    return found[0]


def frames(clip, prior, settings=SETTINGS, canvas=None, state=None):
    targets = steer.texts(clip, parse("a cat"))
    return list(counted(begin.begin(targets, clip, settings, seed=2, canvas=canvas, prior=prior, state=state)))


def test_the_sketch_comes_first_and_the_loop_goes_on_from_it(prior, clip):
    shown = frames(clip, prior())
    assert [f.step for f in shown] == list(range(1, 10)) and {f.total for f in shown} == {9}
    first, last = shown[HOW.steps - 1].image(), shown[-1].image()
    other, _ = drawn(steer.texts(clip, parse("a cat")), clip, SETTINGS, prior(), 7, None)
    other = begin.enlarged(other[-1], SETTINGS)
    assert (last - first).abs().mean() < 0.5 * (last - other).abs().mean()


def test_a_candidate_is_shown_as_it_comes_about(prior, clip):
    """A draft after every step of the solver, which counts as no step."""
    found = list(begin.begin(steer.texts(clip, parse("a cat")), clip, SETTINGS, seed=2, prior=prior()))
    drafts = found[: HOW.steps]
    assert all(f.draft and f.step == 0 and f.image().shape == (3, 48, 48) for f in drafts)
    assert not any(f.draft for f in found[HOW.steps :]) and not torch.equal(drafts[0].image(), drafts[-1].image())


def test_a_later_scene_is_drawn_over_the_sketch_before_it(model, clip):
    words, rivals = [parse("a cat"), parse("a dog"), parse("a red car")], others(clip)
    told = Prior(model, clip, words[0], HOW, words[1:])
    first = told.sketch(2, 64, 64, rivals)[-1]
    one, two = told.renewed(first, 2, rivals)
    alone = Prior(model, clip, words[1], HOW).sketch(3, 64, 64, rivals)[-1]
    assert not torch.equal(one, first) and not torch.equal(one, two)
    assert (one - first).abs().mean() < (alone - first).abs().mean()
    assert all(torch.equal(a, b) for a, b in zip(told.renewed(first, 2, rivals), (one, two), strict=True))


@pytest.fixture
def turned(monkeypatch):
    """Sketches of later scenes that are unmistakable."""
    monkeypatch.setattr(Prior, "renewed", lambda self, sketch, seed, rivals: [1 - sketch] * len(self.later))


def test_every_scene_of_a_story_is_pulled_to_its_own_sketch(model, clip, turned):
    words = [parse("a cat"), parse("a dog")]
    story = Story([steer.texts(clip, each) for each in words])
    settings = Settings(48, 48, steps=24, cutouts=2, low_res=0, drawer="fft", hold=1e5)

    def told():
        return Prior(model, clip, words[0], HOW, words[1:])

    first, later = drawn(story, clip, settings, told(), 2, None)
    one, two = (begin.enlarged(each, settings) for each in (first[-1], later[0]))
    shown = [f.image() for f in counted(begin.begin(story, clip, settings, seed=2, prior=told()))]

    def nearer_to_two(picture):
        return (picture - two).square().mean() < (picture - one).square().mean()

    assert not nearer_to_two(shown[HOW.steps + 4]) and nearer_to_two(shown[-1])


def test_a_film_takes_on_the_next_scene_s_sketch(model, clip, turned):
    """A frame at a time, and not at all before the words change; resumed, the same frames."""
    words = [parse("a cat"), parse("a dog")]
    story = Story([steer.texts(clip, each) for each in words])
    settings = Settings(48, 48, steps=2, cutouts=2, low_res=0, drawer="fft", lr=1e-6)
    camera = Camera(zoom=1.0, steps=1)

    def film(later, state=None):
        told = Prior(model, clip, words[0], HOW, later)
        scenes = story if later else Story(story.scenes[:1])
        return list(counted(travel(scenes, clip, settings, camera, 8, seed=2, prior=told, state=state)))

    frames = film(words[1:])
    told, others = Prior(model, clip, words[0], HOW, words[1:]), rivals.embed(clip, story.embeddings())
    shown, _ = drawn(Story(story.scenes[:1]), clip, settings, told, 2, None)
    goal = begin.enlarged(told.renewed(shown[-1], 2, others)[0], settings)
    away = [(f.image() - goal).abs().mean().item() for f in frames[HOW.steps + 1 :]]
    assert away[-1] < 0.5 * away[0]
    assert max(abs(a - away[0]) for a in away[:2]) < 0.05 * away[0]
    again = film(words[1:], frames[-3].state())
    assert torch.equal(again[-1].image(), frames[-1].image())


def test_a_film_of_a_story_draws_the_first_sketch_once(model, clip, monkeypatch):
    """The first scene's frames are those of its words alone, and the second scene is drawn over what they show."""
    words = [parse("a cat"), parse("a dog")]
    story = Story([steer.texts(clip, each) for each in words])
    settings = Settings(48, 48, steps=2, cutouts=2, low_res=0, drawer="fft")
    told = Prior(model, clip, words[0], HOW, words[1:])
    asked, real = [], Prior.candidates

    def told_of(self, seed, height, width, rivals, photo=None):
        asked.append((self, photo))
        return real(self, seed, height, width, rivals, photo)

    monkeypatch.setattr(Prior, "candidates", told_of)
    film = travel(story, clip, settings, Camera(zoom=1.0, steps=1), 2, seed=2, prior=told)
    frames = [frame.image() for frame in counted(film)]
    (one, nothing), (two, before) = asked
    assert (one, nothing, two) == (told, None, told.later[0])
    assert torch.equal(begin.enlarged(before, settings), frames[HOW.steps - 1])
    alone = begin.begin(story.scenes[0], clip, settings, seed=2, prior=Prior(model, clip, words[0], HOW))
    assert all(torch.equal(image, frame.image()) for image, frame in zip(frames, counted(alone), strict=False))


def test_the_pull_to_the_sketch_holds_the_picture(prior, clip):
    def away(hold):
        shown = frames(clip, prior(), Settings(48, 48, steps=25, cutouts=4, low_res=0, hold=hold))
        return (shown[-1].image() - shown[HOW.steps - 1].image()).abs().mean().item()

    assert away(1e6) < 0.7 * away(0.0)


@pytest.mark.parametrize("stopped", [2, 4, 6])
def test_it_goes_on_at_the_same_bytes_wherever_it_stopped(prior, clip, stopped):
    whole = []
    for frame in counted(begin.begin(steer.texts(clip, parse("a cat")), clip, SETTINGS, seed=2, prior=prior())):
        whole.append(frame)
        if frame.step == stopped:
            state = copy.deepcopy(frame.state())  # what a file would hold
    rest = frames(clip, prior(), state=state)
    assert [f.step for f in rest] == list(range(stopped + 1, 10))
    assert torch.equal(rest[-1].image(), whole[-1].image())


def test_outside_a_mask_the_photograph_stays(prior, clip):
    photo = torch.rand((3, 48, 48), generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 48, 48)
    mask[:, :24] = 1
    for frame in frames(clip, prior(), canvas=Canvas(photo, mask)):
        assert torch.allclose(frame.image()[:, 30:], photo[:, 30:], atol=1e-5)
        assert (frame.image()[:, :20] - photo[:, :20]).abs().mean() > 0.05


# --- the command ------------------------------------------------------------------------------------------------------

SHORT = ["--drawer", "fft", "--size", 48, "--steps", 4, "--cutouts", 4, "--candidates", 2]


@pytest.fixture
def dream(invoke, tiny_clip, tiny_prior):
    def run(*args, code=0):
        result = invoke("dream", "--clip", tiny_clip, "--prior", tiny_prior, *SHORT, *args)
        assert result.exit_code == code, result.stderr
        return result

    return run


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_the_film_begins_with_the_sketch(dream, tiny_prior):
    dream("red car", "--seed", 1, "--out", "a.mp4")
    assert len(list(video.read_frames(Path("a.mp4"), 30.0))) >= Sketching().steps + 4
    assert str(tiny_prior) in record.read(Path("a.png"))["weights"]


def test_the_first_preview_does_not_wait_for_the_sketch(dream, monkeypatch):
    seen, look = [], loop._look

    def looking(frame, *how):
        if frame.draft:
            seen.append(Path("a.preview.png").is_file())
        return look(frame, *how)

    monkeypatch.setattr(loop, "PREVIEW_EVERY", 0.0)
    monkeypatch.setattr(loop, "_look", looking)
    dream("red car", "--seed", 1, "--out", "a.png", "--preview")
    assert len(seen) == Sketching().steps and not seen[0] and all(seen[1:])


def test_a_seed_gives_the_same_bytes_and_the_record_runs_it_again(dream, invoke, folder):
    dream("red car", "--seed", 1, "--out", "a.png")
    dream("red car", "--seed", 1, "--out", "b.png")
    dream("red car", "--seed", 2, "--out", "c.png")
    a, b, c = (Path(f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c
    assert invoke("dream", "--from", "a.png", "--out", "again.png").exit_code == 0
    assert (pixels("again.png") == pixels("a.png")).all()


@pytest.mark.parametrize("stop", [3, 22])
def test_interrupted_and_resumed_it_is_the_same(dream, folder, monkeypatch, stop):
    dream("red car", "--seed", 1, "--out", "whole.mp4")
    follow = loop.follow

    def stopping(frames, watch, stopped):
        def some():
            for frame in frames:
                yield frame
                if frame.step == stop:
                    stopped.requested = True

        return follow(some(), watch, stopped)

    monkeypatch.setattr(loop, "follow", stopping)
    dream("red car", "--seed", 1, "--out", "a.mp4", code=130)
    monkeypatch.setattr(loop, "follow", follow)
    dream("red car", "--seed", 1, "--out", "a.mp4", "--resume", "--force")
    assert (pixels("a.png") == pixels("whole.png")).all()


def test_without_words_there_is_no_prior(dream, folder):
    photograph(folder / "photo.png", (40, 40))
    result = dream("--image-prompt", "photo.png", "--out", "a.png", code=2)
    assert "PROMPT" in one_error_line(result.stderr)


def test_a_photograph_and_a_prior(dream, folder):
    photograph(folder / "photo.png", (48, 48))
    for strength in (0.05, 1):
        more = ["--init", "photo.png", "--start", "prior", "--prior-strength", strength]
        dream("red car", "--seed", 1, *more, "--out", f"{strength}.png")
    near, far = (np.abs(pixels(f"{s}.png") - pixels("photo.png")).mean() for s in (0.05, 1))
    assert near < far


def test_a_camera_starts_from_the_sketch(dream):
    dream("red car", "--seed", 1, "--zoom", 1.02, "--frame-steps", 1, "--duration", 0.2, "--out", "a.mp4")
    assert Path("a.png").is_file()


def test_a_dry_run_counts_the_sketch_and_writes_nothing(dream, folder):
    result = dream("red car", "--dry-run", "--json", "--out", "a.png")
    assert json.loads(result.stdout)["seconds"] >= 0 and not Path("a.png").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--start", "codes"], "does without a prior"),
        (["--start", "sketches"], "sketch"),
        (["--candidates", "0"], "--candidates"),
        (["--guidance", "-1"], "--guidance"),
    ],
)
def test_what_does_not_go_together(dream, folder, more, says):
    assert says in dream("red car", "-q", *more, "--out", "a.png", code=2).stderr
    assert not list(folder.glob("*.png"))


def test_a_prior_that_is_not_there_or_damaged(invoke, tiny_clip, tiny_prior, folder):
    shutil.copytree(tiny_prior, folder / "broken")
    path = folder / "broken/diffusion.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    for name, code in {"nowhere": 2, "broken": 3}.items():
        result = invoke("dream", "red car", "--clip", tiny_clip, *SHORT, "--prior", name, "-q", "--out", "a.png")
        assert result.exit_code == code, result.stderr
        assert name in one_error_line(result.stderr)


def test_a_prior_of_another_clip(invoke, tiny_clip, tiny_prior, folder):
    """Its texts have a size of their own, which the file names with the CLIP that they are of."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(tiny_prior / "diffusion.safetensors", "pt") as file:
        told = json.loads(file.metadata()["diffusion"]) | {"clip": "clip-mini"}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, "other.safetensors", metadata={"diffusion": json.dumps(told)})
    result = invoke("dream", "red car", "--clip", tiny_clip, *SHORT, "--prior", "other.safetensors", "-q", "--out", "a")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1


def test_a_preset_is_one_word_for_models_and_settings_and_flags_win(invoke, tiny_clip, folder):
    result = invoke("dream", "red car", "--preset", "official", "--offline", "-q", "--out", "a.png")
    assert result.exit_code == 3 and "ViT-B-32" in one_error_line(result.stderr)
    flags = ["--clip", tiny_clip, "--prior", "none", *SHORT[:-2], "--seed", 1]
    for name, more in {"plain": [], "preset": ["--preset", "official"]}.items():
        assert invoke("dream", "red car", *flags, *more, "--out", f"{name}.png").exit_code == 0
    assert record.read(Path("preset.png"))["parameters"]["loss"] == "spherical"
    assert (pixels("plain.png") != pixels("preset.png")).any()
    assert "bundled, official" in one_error_line(invoke("dream", "a", "--preset", "offical", "-q").stderr)
