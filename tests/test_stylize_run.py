"""`artgen stylize` from the command line to the files, on a tiny random net."""

import io
import json
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from artcli.backends.stylize import colour, optimise, reading, schedule
from artcli.backends.stylize.objective import Objective
from artcli.backends.stylize.optimise import _Painter
from artcli.backends.stylize.schedule import Stage
from artcli.backends.stylize.settings import PRESETS, Settings
from artcli.backends.stylize.styles import Style, Styles
from artcli.commands.shared import loop
from artcli.commands.stylize import fast, run
from artcli.commands.stylize.request import Request
from artcli.errors import UsageError
from artcli.media import record, video
from artcli.nn.features import slim_layers
from artcli.pretrained import feature_nets
from tests import warm
from tests.batches import seeded
from tests.conftest import masks, one_error_line, photograph, snapshot, with_holes

TINY = ["--size", 64, "--steps", 4, "--seed", 1]


def weights_file(path, widths=(4, 4, 6, 6, 6)):
    layers = seeded(lambda: slim_layers(widths))
    save_file({f"features.{k}": 2 * t if "weight" in k else t for k, t in layers.state_dict().items()}, path)
    return path


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    return weights_file(tmp_path_factory.mktemp("net") / "tiny.safetensors")


def painting(path, size=(72, 60), colours=((30, 40, 120), (240, 200, 60))):
    """Stripes of two colours."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    rgb = np.where(((x + 2 * y) // 5 % 2)[..., None] == 0, *map(np.array, colours)).astype(np.uint8)
    Image.fromarray(rgb).save(path)
    return path


@pytest.fixture
def stylize(invoke, net, folder):
    """A short run on photo.png and painting.png; what is given behind wins.  Fails unless it exits as expected."""
    photograph(folder / "photo.png")
    painting(folder / "painting.png")

    def run(*args, code=0, inputs=("photo.png", "painting.png"), **options):
        result = invoke("stylize", *inputs, "--net", net, *TINY, *args, **options)
        assert result.exit_code == code, result.stderr
        return result

    return run


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


# --- what comes out -------------------------------------------------------------------------------------------------


def test_a_picture_is_written_at_the_size_asked_for_with_its_record(stylize, folder):
    before = set(folder.iterdir())
    result = stylize("-o", "out.png")
    assert result.stdout == "out.png\n"
    assert {p.name for p in set(folder.iterdir()) - before} == {"out.png"}
    assert Image.open("out.png").size == (64, 45)
    found = record.read(Path("out.png"))
    assert found["command"] == "stylize" and found["seed"] == 1 and found["weights"]
    assert found["parameters"]["inputs"] == ["photo.png", "painting.png"]


def test_the_same_bytes_again_also_from_the_record(stylize, invoke):
    stylize("-o", "a.png", "--init", "noise")
    stylize("-o", "b.png", "--init", "noise")
    stylize("-o", "c.png", "--init", "noise", "--seed", 2)
    a, b, c = (Path(f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c
    assert invoke("stylize", "--from", "a.png", "-o", "d.png").exit_code == 0
    assert Path("d.png").read_bytes() == a


def test_a_first_step_that_fails(stylize, monkeypatch):
    """As with a style of one colour and some nets; no rate has had a part in it."""
    from artcli.backends.stylize import optimise

    monkeypatch.setattr(optimise, "_finite", lambda terms, gradient: False)
    result = stylize("-q", "-o", "a.png", code=1)
    assert one_error_line(result.stderr) == "the loss is not finite at step 1; try another style or --net"


def test_the_loss_falls(stylize):
    first, last = (
        json.loads(stylize("-o", f"{steps}.png", "--json", "--steps", steps, "--lr", 0.05).stdout)["style"]
        for steps in (1, 25)
    )
    assert last < 0.6 * first


def test_the_photos_colours_are_kept(stylize):
    long = ["--steps", 15, "--lr", 0.05]
    for name, how in {"free": [], "kept": ["--keep-color", "luminance"], "coral": ["--keep-color", "coral"]}.items():
        stylize("-o", f"{name}.png", *long, *how)
    own = np.array(Image.open("photo.png").convert("RGB").resize((64, 45)).convert("YCbCr")).astype(int)
    free, kept = (np.array(Image.open(f).convert("YCbCr")).astype(int) for f in ("free.png", "kept.png"))
    assert np.abs(kept - own)[..., 1:].mean() < 0.5 * np.abs(free - own)[..., 1:].mean()
    assert Path("coral.png").read_bytes() != Path("free.png").read_bytes()


def test_no_strength_leaves_the_photos_statistics(stylize):
    losses = {
        strength: json.loads(stylize("-o", "x.png", "-f", "--json", "--strength", strength).stdout)["style"]
        for strength in (0, 0.5, 1)
    }
    assert losses[0] < losses[0.5] < losses[1]


def test_a_mask_leaves_the_rest_of_the_photo_as_it_is(stylize, folder):
    Image.fromarray(np.repeat(np.where(np.arange(80) < 40, 0, 255).astype(np.uint8)[None], 56, 0)).save("mask.png")
    stylize("-o", "out.png", "--mask", "mask.png", "--size", 80)
    changed = np.abs(pixels("out.png") - pixels("photo.png")).sum(2)
    assert changed[:, :39].max() == 0 and changed[:, 41:].mean() > 1


def test_a_style_for_each_mask(stylize, invoke, folder):
    painting("other.png", colours=((200, 30, 30), (250, 120, 90)))
    left = np.repeat(np.where(np.arange(80) < 40, 255, 0).astype(np.uint8)[None], 56, 0)
    Image.fromarray(left).save("left.png")
    Image.fromarray(255 - left).save("right.png")
    stylize(
        "--style", "painting.png", "--style", "other.png:2", "--mask", "left.png", "--mask", "right.png",
        "-o", "out.png", "--steps", 20, "--lr", 0.05, inputs=["photo.png"],
    )  # fmt: skip
    blue = pixels("out.png")[..., 2]
    assert blue[:, :28].mean() > blue[:, 36:].mean() + 10
    assert invoke("stylize", "--from", "out.png", "-o", "again.png").exit_code == 0
    assert (pixels("again.png") == pixels("out.png")).all()


def test_alpha_is_kept(stylize, folder):
    photograph(folder / "clear.png", alpha=True)
    stylize("-o", "out.png", "--size", 80, inputs=["clear.png", "painting.png"])
    assert (np.asarray(Image.open("out.png"))[..., 3] == np.asarray(Image.open("clear.png"))[..., 3]).all()


@pytest.mark.parametrize(
    "more", [[], ["--histogram", 0.1], ["--keep-color", "luminance"], ["--keep-color", "coral"], ["--init", "style"]]
)
def test_what_a_style_hides_does_not_weigh(stylize, folder, more):
    with_holes(folder)
    for name in ("hole", "hole0"):
        stylize("-o", f"{name}-a.png", "--no-metadata", *more, inputs=["photo.png", f"{name}.png"])
    assert Path("hole-a.png").read_bytes() == Path("hole0-a.png").read_bytes()


def test_a_transparent_half_of_a_style_does_not_count(net, folder):
    """Statistics, quantiles and colours are those of the half that shows."""
    wide = np.asarray(Image.open(painting(folder / "wide.png", (128, 64))))
    shown = np.zeros((64, 128), np.uint8)
    shown[:, 64:] = 255
    Image.fromarray(np.dstack((wide, shown))).save("half.png")
    loaded, settings = feature_nets.load(str(net), torch.device("cpu")), Settings(size=128, histogram=0.1)
    half = reading.style(Path("half.png"), 1.0, 128)
    alone = Style(torch.from_numpy(wide[:, 64:] / 255).permute(2, 0, 1).float())
    (found,), (wanted,) = Styles([half], loaded, settings).at(128), Styles([alone], loaded, settings).at(64)
    assert (found["relu1_1"].levels - wanted["relu1_1"].levels).abs().mean() < 0.01  # 0.33 if the hidden half counted
    photo = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    for how in ("luminance", "coral"):
        (_, (one,)), (_, (other,)) = (reading.recolour(photo, [style], how) for style in (half, alone))
        torch.testing.assert_close(one.picture[:, :, 70:], other.picture[:, :, 6:], atol=0.02, rtol=0.02)


@pytest.mark.parametrize("kind", ["alpha", "ones"])
def test_other_ways_to_write_a_mask(stylize, folder, kind):
    box = masks(folder, (80, 56), (20, 10, 60, 50))
    for mask in ("usual", kind):
        stylize("-o", f"{mask}-a.png", "--mask", f"{mask}.png", "--size", 80, "--no-metadata")
    masks(folder, (72, 60), (0, 0, 40, 60))
    for mask in ("usual", kind):
        stylize("-o", f"{mask}-b.png", "--style-mask", f"{mask}.png", "--no-metadata")
    for which in "ab":
        assert Path(f"usual-{which}.png").read_bytes() == Path(f"{kind}-{which}.png").read_bytes()
    away = (pixels("usual-a.png") != pixels("photo.png")).any(2)
    assert away[box].mean() > 0.9 and not away[~box].any()


def test_a_folder_of_photos_and_a_folder_of_styles(stylize, folder):
    for name in ("photos", "styles", "out"):
        (folder / name).mkdir()
    for name in "ab":
        photograph(folder / "photos" / f"{name}.png", (40, 56))
        painting(folder / "styles" / f"{name}.png")
    (folder / "photos" / "c.png").write_text("no picture")
    result = stylize("--style", "styles", "-o", "out", inputs=["photos"], code=1)
    assert result.stdout.splitlines() == ["out/a-stylized.png", "out/b-stylized.png"]
    assert "c.png" in result.stderr and "1 of 3" in result.stderr
    single = folder / "single.png"
    stylize("--style", "styles", "-o", single, inputs=["photos/b.png"])
    assert (pixels(single) == pixels("out/b-stylized.png")).all()
    assert (
        "1 exist" not in stylize("--style", "styles", "-o", "out", "--skip-existing", inputs=["photos"], code=1).stdout
    )


def test_sixteen_bit_tiff_and_standard_streams(stylize, folder, monkeypatch):
    deep = (np.linspace(0, 65535, 64 * 48).reshape(48, 64)).astype(np.uint16)
    Image.fromarray(deep).save("deep.tif")
    stylize("-o", "out.tif", inputs=["deep.tif", "painting.png"])
    assert Image.open("out.tif").size == (64, 48)
    result = stylize("-o", "-", inputs=["-", "painting.png"], input=Path("photo.png").read_bytes())
    assert Image.open(io.BytesIO(result.stdout_bytes)).size == (64, 45)


def test_a_film_and_its_last_frame(stylize):
    stylize("-o", "out.mp4", "--steps", 6, "--duration", 1, "--fps", 5)
    assert video.probe(Path("out.mp4")).size == (64, 46)  # its codec wants even sides
    assert len(list(video.read_frames(Path("out.mp4")))) == 5 + 5
    assert Image.open("out.png").size == (64, 45)


@pytest.mark.parametrize(
    "options",
    [
        ["--preset", "modern", "--pooling", "l2"],
        ["--preset", "vgg19", "--content-weight", 5, "--style-weights", "1e5"],
        ["--histogram", 0.5, "--pooling", "average", "--init", "gray"],
        ["--optimizer", "lbfgs", "--style-scale", 0.7, "--style-weights", "1,1,1,1,0", "--tv", 0],
    ],
)
def test_presets_and_options_run(stylize, options):
    facts = json.loads(stylize("-o", "out.png", "--json", *options).stdout)
    assert Image.open("out.png").size == (64, 45)
    assert ("histogram" in facts) == ("--histogram" in options)


def test_squeezenet_with_the_reports_weights(stylize, folder):
    import torchvision

    state = seeded(lambda: torchvision.models.squeezenet1_1(weights=None)).state_dict()
    torch.save(state, folder / "squeezenet.pth")
    losses = {}
    for weights in ("200000,800,12,1", "1,1,1,1"):
        options = ["--preset", "squeezenet", "--net", "squeezenet.pth", "--size", 64, "--style-weights", weights]
        losses[weights] = json.loads(stylize("-o", "out.png", "-f", "--json", *options).stdout)["style"]
    assert losses["200000,800,12,1"] > 100 * losses["1,1,1,1"] > 0


def test_a_preset_for_another_net_says_so(stylize):
    assert "layer3" in one_error_line(stylize("-o", "out.png", "--preset", "squeezenet", "-q", code=2).stderr)


# --- stopping and going on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how", [["--size", 190], ["--optimizer", "lbfgs"], ["--init", "style", "--size", 150, "--tile", 128]]
)
def test_an_interrupted_run_goes_on_to_the_same_bytes(stylize, monkeypatch, how, folder):
    how = [*how, "--steps", 5]
    stylize("-o", "whole.png", *how)
    for at in (3, 11):
        with monkeypatch.context() as patch:
            patch.setattr(loop, "_why_stop", lambda frame, *_, at=at: "interrupted" if frame.step == at else None)
            code = 130 if at < 5 or how[0] == "--size" else 0
            stylize("-o", "parts.png", *how, *(["--resume"] if at > 3 else []), code=code)
    if (folder / "parts.png.resume").exists():
        stylize("-o", "parts.png", *how, "--resume")
    assert Path("parts.png").read_bytes() == Path("whole.png").read_bytes()
    assert not (folder / "parts.png.resume").exists()


def test_ctrl_c_leaves_a_picture_and_a_run_to_go_on_with(folder, net):
    photograph(folder / "photo.png")
    painting(folder / "painting.png")
    command = ["stylize", "photo.png", "painting.png", "--net", net, *TINY, "-o", "out.mp4", "--steps", 1_000_000]
    started = warm.Process(command, stderr=warm.PIPE, text=True)
    while "preview" not in started.stderr.readline():  # which is announced right before the steps begin
        pass
    time.sleep(0.3)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130 and "--resume" in said
    assert sorted(p.name for p in folder.iterdir()) == [
        "out.mp4", "out.mp4.resume", "out.png", "painting.png", "photo.png"
    ]  # fmt: skip
    assert len(list(video.read_frames(Path("out.mp4")))) > 0


def test_no_number_in_lbfgs_is_caught_and_adam_goes_on(stylize, monkeypatch):
    judge, calls = Objective.gradient, []

    def broken(self, image):
        terms, gradient = judge(self, image)
        calls.append(1)
        return terms, gradient * float("nan") if len(calls) == 3 else gradient

    monkeypatch.setattr(Objective, "gradient", broken)
    stylize("-o", "out.png", "--optimizer", "lbfgs", "--steps", 6)
    assert len(calls) == 7 and Path("out.png").is_file()


def test_lbfgs_does_not_leap():
    """Its second step, which knows one curvature only, would end in glaring noise, far worse than the beginning."""
    rng = torch.Generator().manual_seed(0)
    soft, fine = (F.interpolate(torch.rand(1, 3, n, n, generator=rng), (64, 64), mode="bicubic")[0] for n in (4, 24))
    settings = replace(PRESETS["vgg19"], net="vgg-slim", size=64, steps=15)
    styles = Styles([Style(fine.clamp(0, 1))], feature_nets.load("vgg-slim", torch.device("cpu")), settings)
    found = list(optimise.stylize(soft.clamp(0, 1), styles, settings, schedule.stages(settings)))
    losses = [frame.metrics["loss"] for frame in found]
    assert max(losses) <= losses[0] and losses[-1] < 0.2 * losses[0]


def test_no_number_in_adam_is_an_error(stylize, monkeypatch):
    monkeypatch.setattr(Objective, "gradient", lambda self, image: ({"style": torch.tensor(float("nan"))}, image))
    assert "finite" in stylize("-o", "out.png", code=1).stderr
    assert not Path("out.png").exists()


def test_a_time_limit_plans_the_steps(stylize):
    said = stylize("-o", "out.png", "--steps", 100_000, "--time-limit", "1s").stderr
    assert "fit into 1s" in said
    assert Image.open("out.png").size == (64, 45)


def test_the_plan_keeps_scales_that_get_enough_steps():
    plan = [Stage(128, 200), Stage(256, 100), Stage(512, 100)]
    assert schedule.within(plan, [0.01, 0.1, 0.5], 1000) == plan
    assert schedule.within(plan, [0.01, 0.1, 0.5], 31) == [Stage(128, 100), Stage(256, 50), Stage(512, 50)]
    assert schedule.within(plan, [0.01, 0.1, 0.5], 4) == [Stage(128, 66), Stage(256, 33)]
    assert schedule.within(plan[:1], [1.0], 0.1) == [Stage(128, 1)]


def test_scales_go_by_the_root_of_two_up_to_the_size():
    assert [stage.side for stage in schedule.stages(Settings())] == [128, 181, 256, 362, 512]
    assert [stage.steps for stage in schedule.stages(PRESETS["modern"])] == [1000, 500, 500, 500, 500]
    assert schedule.stages(PRESETS["vgg19"]) == [Stage(512, 300)]
    assert schedule.stages(PRESETS["squeezenet"]) == [Stage(192, 200)]


# --- bad input ------------------------------------------------------------------------------------------------------


def test_strange_styles_work_and_say_what_is_wrong_with_them(stylize, folder):
    Image.new("RGB", (1, 1), (200, 30, 30)).save("dot.png")
    Image.new("RGB", (50, 50), (200, 30, 30)).save("flat.png")
    painting("wide.png", (900, 40))
    Image.fromarray(np.tile(np.arange(0, 250, 5, dtype=np.uint8), (50, 1))).save("grey.png")
    for name in ("dot", "flat", "wide", "grey"):
        said = stylize("-o", f"{name}-out.png", inputs=["photo.png", f"{name}.png"]).stderr
        assert ("flat colour" in said) == (name in {"dot", "flat"})


def test_a_photo_may_be_narrow(stylize):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 400, 3), dtype=np.uint8)).save("narrow.png")
    stylize("-o", "out.png", inputs=["narrow.png", "painting.png"])
    assert Image.open("out.png").size == (64, 1)


def test_refused_before_any_work(stylize, folder):
    Image.new("RGBA", (20, 20), (9, 9, 9, 0)).save("clear.png")
    Image.new("L", (20, 20), 255).save("small.png")
    Image.new("L", (80, 56), 0).save("black.png")
    Path("taken.png").touch()
    before = snapshot(folder)
    for options, inputs, words in (
        ([], ["photo.png", "clear.png"], "transparent"),
        ([], ["clear.png", "painting.png"], "transparent"),
        (["--mask", "small.png"], None, "same size"),
        (["--mask", "black.png"], None, "black everywhere"),
        (["--style-mask", "small.png"], None, "same size"),
        (["--mask", "none.png"], None, "no file none.png"),
        (["--preset", "modren"], None, "modern"),
        (["--style-weights", "1,2"], None, "5 layers"),
        (["--style", "painting.png:0"], ["photo.png"], "above 0"),
        (["--seed", "1-3"], None, "takes one"),
        (["--histogram", 1, "--mask", "black.png"], None, "--histogram"),
        ([], ["photo.png"], "a style"),
        ([], ["photo.png", "-"], "standard input"),
    ):
        result = stylize("-q", "-o", "out.png", *options, code=2, **({"inputs": inputs} if inputs else {}))
        assert words in one_error_line(result.stderr), options
    assert "--force" in one_error_line(stylize("-q", "-o", "taken.png", code=2).stderr)
    assert snapshot(folder) == before


def test_values_ask_for_what_the_command_line_does(invoke, folder, monkeypatch):
    photograph(folder / "photo.png")
    for name in ("a.png", "b.png"):
        painting(folder / name)
    asked = []
    for way in (run, fast):
        monkeypatch.setattr(way, "run", lambda request, console: asked.append(request))
    steps = {
        "inputs": ["photo.png"], "out": "out.gif", "style": ["a.png:2", "b.png"], "preset": "modern", "steps": 9,
        "optimizer": "lbfgs", "style_weights": "1,2,3,4,5", "strength": 0.5, "time_limit": 90, "preview": False,
    }  # fmt: skip
    line = "photo.png --out out.gif --style a.png:2 --style b.png --preset modern --steps 9 --optimizer lbfgs "
    line += "--style-weights 1,2,3,4,5 --strength 0.5 --time-limit 1m30s --no-preview"
    assert invoke("stylize", *line.split()).exit_code == 0
    assert asked.pop() == Request.from_values(steps)
    assert invoke("stylize", "photo.png", "a.png", "--fast", "--keep-color", "coral", "--size", 64).exit_code == 0
    values = {"inputs": ["photo.png", "a.png"], "fast": True, "keep_color": "coral", "size": 64}
    assert asked.pop() == Request.from_values(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stpes": 3}, "no option 'stpes'. Did you mean 'steps'?"),
        ({"steps": 0}, "--steps"),
        ({"strength": "much"}, "--strength"),
        ({"init": "grey"}, "Did you mean 'gray'?"),
        ({"pooling": 3}, "--pooling '3' is not known"),
        ({"time_limit": True}, "time_limit = true has to be a text or a number"),
        ({"seed": "1-3"}, "takes one"),
    ],
)
def test_wrong_values(folder, values, words):
    photograph(folder / "photo.png")
    with pytest.raises(UsageError, match=re.escape(words)):
        Request.from_values({"inputs": ["photo.png", "photo.png"], **values})


def test_a_settings_file_with_a_number_for_a_word(stylize, folder):
    (folder / "artgen.toml").write_text("[stylize]\npooling = 3\n")
    assert "--pooling '3' is not known" in one_error_line(stylize("-q", code=2).stderr)
    (folder / "artgen.toml").write_text("[stylize]\ntime-limit = 90\n")
    assert "fit into 1m30s" in stylize("-o", "out.png").stderr


def test_missing_weights_say_how_to_get_them(invoke, folder):
    photograph(folder / "photo.png")
    painting(folder / "painting.png")
    result = invoke("stylize", "photo.png", "painting.png", "-o", "out.png", "--offline", "-q", "--preset", "modern")
    assert result.exit_code == 3 and "artgen weights get vgg19" in one_error_line(result.stderr)


def test_a_file_that_is_no_net(stylize, folder):
    save_file({"x": torch.zeros(2)}, folder / "no.safetensors")
    assert "no net" in one_error_line(stylize("-q", "--net", "no.safetensors", "-o", "out.png", code=3).stderr)


def test_a_dry_run_writes_nothing(stylize, folder):
    before = snapshot(folder)
    facts = json.loads(stylize("-n", "--json", "-o", "out.png").stdout)
    assert facts["dry_run"] and facts["paths"] == ["out.png"] and facts["seconds"] >= 0
    assert snapshot(folder) == before


# --- styles and scales ----------------------------------------------------------------------------------------------


def test_what_a_style_mask_leaves_out_does_not_count(net, folder):
    half = np.zeros((64, 128), np.uint8)
    half[:, 64:] = 255
    Image.fromarray(half).save("half.png")
    Image.fromarray(np.dstack((np.full((64, 128, 3), 90, np.uint8), half))).save("clear.png")
    painting(folder / "wide.png", (128, 64))
    loaded = feature_nets.load(str(net), torch.device("cpu"))
    settings = Settings(size=128)
    masked = reading.style(Path("wide.png"), 1.0, 128, Path("half.png"))
    (found,) = Styles([masked], loaded, settings).at(128)
    (cropped,) = Styles([Style(masked.picture[..., 64:])], loaded, settings).at(64)
    torch.testing.assert_close(found["relu1_1"].mean, cropped["relu1_1"].mean, atol=0.02, rtol=0.05)
    assert reading.style(Path("clear.png"), 1.0, 128).mask[0, :, :60].max() < 0.05


def test_adam_goes_to_the_next_scale_with_what_it_knows(net):
    loaded, rng = feature_nets.load(str(net), torch.device("cpu")), torch.Generator().manual_seed(0)
    photo, style = (torch.rand(3, 96, 96, generator=rng) for _ in range(2))
    settings = Settings(size=96)
    styles = Styles([Style(style)], loaded, settings)
    painter = _Painter(photo, styles, settings, [Stage(64, 3), Stage(96, 3)], (), 0)
    painter.start()
    for _ in range(3):
        painter.advance()
    before = painter.optimizer.state[painter.image]
    painter.advance()
    after = painter.optimizer.state[painter.image]
    assert after["step"] == 4 and before["exp_avg"].shape[-1] == 64 and after["exp_avg"].shape[-1] == 96
    assert (after["exp_avg_sq"] >= 0).all()
    assert after["exp_avg_sq"].mean() > 0.1 * before["exp_avg_sq"].mean() > 0


# --- colours --------------------------------------------------------------------------------------------------------


def test_coral_gives_the_style_the_photos_mean_and_covariance():
    rng = torch.Generator().manual_seed(0)
    style, photo = (0.3 + 0.1 * torch.randn(3, 40, 40, generator=rng) for _ in range(2))
    photo = (photo + 0.2).clamp(0.02, 0.98)
    found = colour.coral(style, photo)
    assert torch.allclose(found.mean((1, 2)), photo.mean((1, 2)), atol=0.01)
    assert torch.allclose(found.flatten(1).cov(), photo.flatten(1).cov(), atol=1e-3)


def test_luminance_takes_the_brightness_alone():
    rng = torch.Generator().manual_seed(0)
    image, photo = (0.4 + 0.2 * torch.rand(3, 8, 8, generator=rng) for _ in range(2))
    found = colour.with_colours_of(image, photo)
    assert torch.allclose(colour.luma(found), colour.luma(image), atol=1e-6)
    assert torch.allclose(found - colour.luma(found), photo - colour.luma(photo), atol=1e-6)
