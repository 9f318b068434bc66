"""The numbers behind `artgen sample`: ways through latent space, the layout of sheets, colours."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artcli.commands.sample import paths, sheet
from artcli.commands.sample.generator import Sampler
from artcli.commands.shared.loop import Stop
from artcli.errors import UsageError
from tests.sample_fake import LATENT, Model, Workshop

TIMELESS = settings(deadline=None)  # the machine may be busy
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sampler(tmp_path_factory):
    shop = Workshop()
    run = tmp_path_factory.mktemp("sampling") / "tiny"
    shop.add(run, Model())
    return Sampler(shop.load(run, CPU), CPU, Stop())


def straight(start, end, part):
    return start + part * (end - start)


# --- ways -----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 6), st.booleans(), st.integers(0, 99))
def test_a_way_passes_its_stops_in_equal_times_and_without_a_jump(count, loop, seed):
    stops = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    at = paths.through(stops, straight, loop=loop)
    legs = count if loop else count - 1
    for leg in range(legs + 1):
        torch.testing.assert_close(at(leg / legs)[0], stops[leg % count], atol=1e-4, rtol=0)
    fine = torch.cat([at(step / 200) for step in range(201)])
    longest = (stops - stops.roll(-1, 0)).norm(dim=1).max()
    assert (fine[1:] - fine[:-1]).norm(dim=1).max() <= longest * legs / 200 * 1.01


@pytest.mark.parametrize("seconds", [8, 12, 30])
def test_a_walk_is_distributed_as_the_latents_everywhere_and_keeps_its_pace(sampler, seconds):
    at = paths.walk(sampler, range(600), seconds)
    moments = [at(position) for position in (0.0, 0.13, 0.5, 0.77)]  # (600, D) each
    for latents in moments:
        assert latents.mean(0).abs().max() < 0.2
        assert (latents.std(0) - 1).abs().max() < 0.15
        assert torch.corrcoef(latents.T).fill_diagonal_(0).abs().max() < 0.2
    torch.testing.assert_close(at(0.0), at(1.0), atol=1e-4, rtol=0)
    pace = [((at(p + 1e-3) - at(p)) / 1e-3 / seconds).square().mean().sqrt().item() for p in (0.0, 0.3, 0.6)]
    assert max(pace) < 1.15 * min(pace)
    assert 0.8 < pace[0] < 1.4, "deviations a second, however long the walk"


def test_walks_of_neighbouring_seeds_share_nothing(sampler):
    at = paths.walk(sampler, [7, 8], 12)
    one, other = torch.stack([at(step / 50) for step in range(50)]).unbind(1)
    assert not torch.allclose(one, other, atol=0.5)
    assert torch.allclose(paths.walk(sampler, [8], 12)(0.3)[0], at(0.3)[1], atol=1e-5), "a walk has its own seed only"


def test_a_truncated_walk_stays_nearer(sampler):
    wide, near = (paths.walk(sampler, range(200), 12, cut)(0.4) for cut in (None, 0.5))
    assert near.std() == pytest.approx(wide.std().item() / 2, rel=0.1)


@TIMELESS
@given(st.integers(1, 200))
def test_positions(count):
    closed, opened, swing = paths.along(count, closed=True), paths.along(count, closed=False), paths.to_and_fro(count)
    assert len(closed) == len(opened) == len(swing) == count
    assert closed[0] == opened[0] == swing[0] == 0 and closed[-1] < 1
    assert count == 1 or opened[-1] == 1
    assert all(0 <= position <= 1 for position in swing)
    assert swing[1:] == pytest.approx(swing[:0:-1], abs=1e-9), "back the way it came"


def test_rendering_is_what_the_model_decodes_one_by_one(sampler):
    at = paths.sweep(sampler, [1, 2, 3], 2)
    positions = paths.along(11, closed=False)
    for place, pictures in enumerate(paths.render(sampler, at, positions)):
        assert len(pictures) == 3
        expected = sampler.model.decode(at(positions[place]))
        torch.testing.assert_close(torch.stack(pictures), expected)
    assert place == 10


def test_a_sweep_goes_three_deviations_to_both_sides(sampler):
    at = paths.sweep(sampler, range(4), 1)
    low, high = at(0.0), at(1.0)
    middle, deviation = sampler.moments()
    assert torch.allclose((high - low)[:, 1], 6 * deviation[1]) and torch.allclose(
        low[:, 1], middle[1] - 3 * deviation[1]
    )
    others = [n for n in range(LATENT) if n != 1]
    assert torch.equal(low[:, others], sampler.latents(range(4))[:, others])


# --- sheets ---------------------------------------------------------------------------------------------------------


@TIMELESS
@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 9), st.integers(1, 9))
def test_a_grid_keeps_every_picture_in_its_place(count, columns, height, width):
    pictures = [np.full((height, width, 3), place, np.uint8) for place in range(count)]
    paper = sheet.grid(pictures, columns)
    assert (paper.shape[1], paper.shape[0]) == sheet.size(count, columns, (width, height))
    wide = min(columns, count)
    for place in range(count):
        top, left = place // wide * (height + sheet.GAP), place % wide * (width + sheet.GAP)
        assert (paper[top : top + height, left : left + width] == place).all()
    assert (paper != 255).all(2).sum() == count * height * width, "and the rest is white"


@TIMELESS
@given(st.integers(1, 10_000))
def test_near_square(count):
    columns = sheet.near_square(count)
    assert (columns - 1) ** 2 < count <= columns**2


@settings(max_examples=30, deadline=None)
@given(st.text("abc xyz ", min_size=1, max_size=60), st.integers(60, 400))
def test_text_fits_its_width_where_the_words_do(words, width):
    band = sheet.text(words, width)
    assert band.dtype == np.uint8 and band.shape[1] >= width
    assert (band < 128).any() == bool(words.strip())
    assert band.shape[1] == width or max(map(len, words.split())) * 6 > width / 2


def test_stacked_bands():
    bands = [np.zeros((2, 3, 3), np.uint8), np.zeros((1, 5, 3), np.uint8)]
    paper = sheet.stack(bands, gap=4)
    assert paper.shape == (7, 5, 3) and (paper == 0).all(2).sum() == 11 and (paper[2:6] == 255).all()


@pytest.mark.parametrize("size", [(20_000, 10), (10, 20_000), (16_000, 16_000)])
def test_sheets_that_are_too_large(size):
    with pytest.raises(UsageError, match="--separate"):
        sheet.check(*size)
    sheet.check(1000, 1000)
