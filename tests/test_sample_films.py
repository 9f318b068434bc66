"""`artgen sample` with pictures of the user, and on ways through the latent space."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artcli.commands.sample import sheet
from artcli.errors import ArtgenError
from artcli.media import images, record, video
from tests import sample_fake
from tests.conftest import one_error_line, photograph
from tests.sample_fake import Coder, Model

workshop, sample = sample_fake.workshop, sample_fake.sample


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def cells(path, side=16):
    """Row by row, every picture of a sheet that has no text."""
    whole, step = pixels(path), side + sheet.GAP
    rows, columns = (whole.shape[0] + sheet.GAP) // step, (whole.shape[1] + sheet.GAP) // step
    return [
        [whole[r * step : r * step + side, c * step : c * step + side] for c in range(columns)] for r in range(rows)
    ]


def drawn(model, seed):
    return images.from_tensor(model.generate([seed])[0])


def frames(path):
    return list(video.read_frames(Path(path)))


def apart(one, other):
    """Mean difference of two pictures, in levels of 255; compression of a film makes about 3."""
    return np.abs(one.astype(int) - other.astype(int)).mean()


def facts(result):
    return json.loads(result.stdout)


@pytest.fixture
def photos(folder, workshop):
    """Pictures of the model's own, which it can reconstruct, and a photo, which it cannot."""
    for seed in (1, 2, 3):
        Image.fromarray(drawn(workshop.models["tiny"], seed)).save(f"{seed}.png")
    (folder / "more").mkdir()
    photograph(folder / "more" / "photo.jpg")
    return folder


# --- reconstructions ------------------------------------------------------------------------------------------------


def test_the_input_above_and_what_came_back_below(sample, photos, workshop):
    result = sample("--reconstruct", "1.png", "more", "3.png", "--out", "a.png", "--json")
    said = facts(result)
    assert said["pictures"] == ["1.png", "more/photo.jpg", "3.png"]
    above, below = cells("a.png")
    assert (above[0] == drawn(workshop.models["tiny"], 1)).all() and (
        above[2] == drawn(workshop.models["tiny"], 3)
    ).all()
    for one, other, decibels in zip(above, below, said["psnr"], strict=True):
        given = torch.tensor(one.transpose(2, 0, 1) / 255).float()
        back = workshop.models["tiny"].reconstruct(given[None])[0]
        assert (other == images.from_tensor(back)).all()
        assert decibels == pytest.approx(-10 * np.log10((given - back).square().mean().item()), abs=0.01)
    assert said["psnr"][0] > 40 > 25 > said["psnr"][1]
    assert f"more/photo.jpg: PSNR {said['psnr'][1]:.2f} dB" in result.stderr
    assert said["psnr_mean"] == pytest.approx(np.mean(said["psnr"]), abs=0.01)


def test_many_pictures_in_pairs_of_rows(sample, photos):
    sample("--reconstruct", "*.png", "--columns", 2, "--out", "a.png")
    assert pixels("a.png").shape == (2 * (2 * 18 - 2) + 8, 2 * 18 - 2, 3)


def test_one_that_cannot_be_read_does_not_stop_the_others(sample, photos):
    Path("bad.png").write_text("no picture")
    result = sample("--reconstruct", "1.png", "bad.png", "--out", "a.png", "-q", code=1)
    assert result.stdout == "a.png\n" and "bad.png" in result.stderr and "1 of 2 pictures could not" in result.stderr
    assert len(cells("a.png")[0]) == 1
    assert "bad.png" in one_error_line(sample("--reconstruct", "bad.png", "-q", "--out", "b.png", code=2).stderr)
    Path("worse.png").write_text("none")
    assert "none of the 2" in sample("--reconstruct", "bad.png", "worse.png", "--out", "b.png", code=2).stderr


def test_a_perfect_reconstruction_is_no_number(sample, photos, workshop):
    workshop.add(photos / "runs" / "coder", Coder())
    said = facts(sample("--reconstruct", "1.png", "--out", "a.png", "--json", run="runs/coder"))
    assert said["psnr"] == [None] and said["psnr_mean"] is None


def test_a_picture_from_standard_input(sample, photos):
    sample("--reconstruct", "-", "--out", "a.png", input=Path("1.png").read_bytes())
    sample("--reconstruct", "1.png", "--out", "b.png")
    assert (pixels("a.png") == pixels("b.png")).all()


def test_pictures_are_prepared_as_those_of_the_training(sample, workshop, folder):
    model = workshop.add(folder / "runs" / "grey", Model(channels=1))
    workshop.add(folder / "runs" / "ycbcr", Coder(), color="ycbcr", crop="stretch")
    photograph(folder / "wide.png", (64, 32))
    sample("--reconstruct", "wide.png", "--out", "a.png", run="runs/ycbcr")
    (above,), (below,) = cells("a.png")
    expected = np.asarray(Image.open("wide.png").resize((16, 16), Image.Resampling.LANCZOS))
    assert apart(above, expected) < 1.5 and (above == below).all()
    sample("--reconstruct", "wide.png", "--out", "b.png", run="runs/grey")
    (above,), _ = cells("b.png")
    middle = Image.open("wide.png").crop((16, 0, 48, 32)).resize((16, 16), Image.Resampling.LANCZOS).convert("L")
    assert apart(above, np.asarray(middle)[..., None].repeat(3, 2)) < 1.5 and model.calls == [16]


# --- between seeds and pictures -------------------------------------------------------------------------------------


def test_a_strip_starts_and_ends_at_the_seeds(sample, workshop):
    sample("--interpolate", "--seed", "4-6", "--columns", 5, "--loop", "--out", "a.png")
    model, rows = workshop.models["tiny"], cells("a.png")
    assert [len(row) for row in rows] == [5, 5, 5]
    for row, (start, end) in zip(rows, [(4, 5), (5, 6), (6, 4)], strict=True):
        assert apart(row[0], drawn(model, start)) < 0.01 and apart(row[-1], drawn(model, end)) < 0.01
        middle = model.decode(model.blend(model.latents([start]), model.latents([end]), 0.5))[0]
        assert apart(row[2], images.from_tensor(middle)) < 0.01


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_a_film_between_seeds(sample, workshop, suffix):
    said = facts(sample("--interpolate", "--seed", "4-5", "--fps", 5, "--size", 64, "--out", f"a{suffix}", "--json"))
    shown = frames(f"a{suffix}")
    assert said["frames"] == len(shown) == 10 and said["finished"]
    for frame, seed in ((shown[0], 4), (shown[-1], 5)):
        expected = np.asarray(Image.fromarray(drawn(workshop.models["tiny"], seed)).resize((64, 64), Image.LANCZOS))
        assert apart(frame, expected) < 12 < apart(frame, expected[::-1])


def test_a_loop_comes_back_without_stopping(sample):
    sample("--interpolate", "--seed", "4-5", "--loop", "--fps", 8, "--duration", 1, "--size", 64, "--out", "a.mp4")
    shown = frames("a.mp4")
    assert len(shown) == 8 and apart(shown[1], shown[7]) < 5 < apart(shown[0], shown[4])
    assert apart(shown[0], shown[7]) > 3, "the start is not shown twice"


def test_between_pictures(sample, photos, workshop):
    sample("--interpolate", "--between", "1.png", "3.png", "--columns", 3, "--out", "a.png")
    ((first, _, last),) = cells("a.png")
    model = workshop.models["tiny"]
    assert apart(first, drawn(model, 1)) < 3 and apart(last, drawn(model, 3)) < 3
    sample("--between", "1.png", "3.png", "--columns", 3, "--out", "b.png")
    assert (pixels("a.png") == pixels("b.png")).all()
    Path("bad.png").write_text("no picture")
    assert "error: bad.png is a text file" in sample("--between", "1.png", "bad.png", "--out", "c.mp4", code=2).stderr


def test_of_a_class(sample, workshop, folder):
    model = workshop.add(folder / "runs" / "classed", Model(classes=2), classes=["cat", "dog"])
    sample("--interpolate", "--class", "dog", "--seed", "0-1", "--columns", 2, "--out", "a.png", run="runs/classed")
    ((first, _),) = cells("a.png")
    assert (first == images.from_tensor(model.generate([0], torch.tensor([1]))[0])).all()
    line = one_error_line(sample("--walk", "--class", "all", "-q", run="runs/classed", code=2).stderr)
    assert "one --class" in line


# --- walks and sweeps -----------------------------------------------------------------------------------------------


def test_walks_abreast_are_closed_and_repeatable(sample):
    flags = ("--walk", "--seed", "0-1", "--fps", 8, "--duration", 2, "--size", 64)
    sample(*flags, "--out", "a.mp4")
    shown = frames("a.mp4")
    assert len(shown) == 16 and shown[0].shape == (64, 130, 3)
    steps = [apart(one, other) for one, other in zip(shown, [*shown[1:], shown[0]], strict=True)]
    assert steps[-1] < 2 * np.mean(steps) and min(steps) > 0.5, "the last step is one like the others"
    sample("--from", "a.mp4", "--out", "b.mp4", run=None)
    assert Path("a.mp4").read_bytes() == Path("b.mp4").read_bytes()


def test_a_sweep_changes_one_latent(sample, workshop):
    sample("--sweep", 2, "--seed", "5-6", "--out", "a.png")
    model, rows = workshop.models["tiny"], cells("a.png")
    assert [len(row) for row in rows] == [7, 7]
    for row, seed in zip(rows, (5, 6), strict=True):
        found = model.encode(torch.stack([torch.tensor(cell / 255.0).permute(2, 0, 1).float() for cell in row]))
        start = model.latents([seed])[0]
        kept = [0, 1, 3]
        assert (found[:, kept] - start[kept]).abs().max() < 0.2
        assert (found[:, 2] - torch.linspace(-3, 3, 7)).abs().max() < 0.4, "deviations are estimated from draws"


def test_a_sweep_as_a_film_swings_back(sample):
    sample("--sweep", 0, "--seed", "5-7", "--fps", 8, "--duration", 1, "--size", 64, "--out", "a.webm")
    shown = frames("a.webm")
    assert len(shown) == 8 and shown[0].shape[:2] == (130, 130)
    assert apart(shown[1], shown[7]) < 5 < apart(shown[0], shown[4])


def test_a_dimension_that_is_not_there(sample):
    assert "4 dimensions, 0 to 3" in one_error_line(sample("--sweep", 4, "-q", "--out", "a.png", code=2).stderr)


# --- while a film is made -------------------------------------------------------------------------------------------


def test_ctrl_c_leaves_a_playable_film(sample, workshop, folder, monkeypatch):
    decode = Model.decode

    def interrupted(self, latents, labels=None):
        if len(self.calls) == 1:
            signal.raise_signal(signal.SIGINT)
        return decode(self, latents, labels)

    monkeypatch.setattr(Model, "decode", interrupted)
    result = sample("--walk", "--seed", 1, "--out", "a.mp4", "--json", code=130)
    assert "interrupted; a.mp4 has 17 of 360 frames" in result.stderr
    assert facts(result)["finished"] is False and len(frames("a.mp4")) == 17
    assert [path.name for path in folder.iterdir() if path.suffix] == ["a.mp4"]


def test_an_encoder_that_does_not_work_shows_before_any_picture(sample, workshop, monkeypatch):
    def broken(*args, **options):
        raise ArtgenError("could not write a.mp4: unknown encoder")

    monkeypatch.setattr(video, "VideoWriter", broken)
    assert "unknown encoder" in one_error_line(sample("--walk", "-q", "--out", "a.mp4", code=1).stderr)
    assert workshop.models["tiny"].calls == []


def test_a_film_carries_its_record(sample):
    sample("--interpolate", "--seed", "4-5", "--fps", 5, "--out", "a.gif")
    made = record.read(Path("a.gif"))
    assert (made["seed"], made["parameters"]["interpolate"], made["parameters"]["fps"]) == ("4-5", True, 5.0)
    sample("--interpolate", "--seed", "4-5", "--fps", 5, "--out", "b.gif", "--no-metadata")
    with pytest.raises(ArtgenError):
        record.read(Path("b.gif"))
