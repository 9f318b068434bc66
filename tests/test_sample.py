"""`artgen sample`: random samples as grids and as files, what is refused, and what every output carries."""

import io
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artcli.commands.sample import sheet
from artcli.commands.sample.lists import spread
from artcli.errors import ArtgenError
from artcli.media import images, record
from tests import sample_fake
from tests.conftest import one_error_line, photograph, snapshot
from tests.sample_fake import Coder, Drawing, Model

workshop, sample = sample_fake.workshop, sample_fake.sample


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def cell(path, row, column, side=16):
    step = side + sheet.GAP
    return pixels(path)[row * step : row * step + side, column * step : column * step + side]


def drawn(model, seeds, **options):
    """What the model draws, asked for all at once, (N, H, W, 3) uint8."""
    return np.stack([images.from_tensor(picture) for picture in model.generate(list(seeds), **options)])


def facts(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "runs")


# --- a grid ---------------------------------------------------------------------------------------------------------


def test_a_grid_of_six_by_six_from_a_seed(sample, workshop):
    result = sample("--seed", 5)
    assert result.stdout == "tiny-samples.png\n"
    assert "seeds 5-40" in result.stderr
    assert pixels("tiny-samples.png").shape == (6 * 18 - 2, 6 * 18 - 2, 3)
    expected = drawn(workshop.models["tiny"], range(5, 41))
    for place in range(36):
        assert (cell("tiny-samples.png", *divmod(place, 6)) == expected[place]).all()


def test_a_drawn_seed_is_printed_and_recorded(sample):
    said = sample("--out", "a.png").stderr
    seeds = record.read(Path("a.png"))["seed"]
    assert f"seeds {seeds}" in said
    sample("--seed", seeds, "--out", "b.png")
    assert (pixels("a.png") == pixels("b.png")).all()


def test_count_columns_and_size(sample):
    sample("--seed", "3-7", "--columns", 2, "--size", 40, "--out", "a.png")
    assert pixels("a.png").shape == (3 * 42 - 2, 2 * 42 - 2, 3)
    assert (cell("a.png", 2, 1, 40) == 255).all(), "the place without a picture is white"
    sample("--seed", 3, "--count", 5, "--columns", 2, "--size", 40, "--out", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    (line,) = facts(sample("--seed", 3, "--count", 1, "--out", "c.jpg", "--json"))
    assert line["seeds"] == [3] and line["paths"] == ["c.jpg"] and Image.open("c.jpg").size == (16, 16)


def test_every_batch_has_one_size_and_is_bounded(sample, workshop):
    sample("--seed", "0-20", "--out", "a.png")
    assert workshop.models["tiny"].calls == [16, 16]
    big = workshop.add(Path("runs/big"), Model(512))
    sample("--seed", "0-2", "--out", "b.png", run="runs/big")
    assert big.calls == [1, 1, 1]


def test_short_of_memory_the_batches_shrink(sample, workshop, monkeypatch):
    sample("--seed", "0-8", "--out", "rich.png")
    whole, tried = Model.decode, []

    def limited(self, latents, labels=None):
        tried.append(len(latents))
        if len(latents) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        return whole(self, latents, labels)

    monkeypatch.setattr(Model, "decode", limited)
    sample("--seed", "0-8", "--out", "poor.png")
    assert tried[:4] == [16, 8, 4, 2] and Path("poor.png").read_bytes() == Path("rich.png").read_bytes()


def test_a_picture_on_standard_output(sample, folder):
    streamed = sample("--seed", "0-3", "--out", "-", "--json").stdout_bytes
    assert visible(folder) == []
    sample("--seed", "0-3", "--out", "a.png")
    assert Image.open(io.BytesIO(streamed)).info == Image.open("a.png").info
    assert streamed == Path("a.png").read_bytes()


# --- a file each ----------------------------------------------------------------------------------------------------


def test_a_picture_depends_on_its_own_seed_only(sample):
    result = sample("--seed", "0-20", "--separate", "--out", "a.png")
    assert result.stdout.splitlines() == [f"a-{seed}.png" for seed in range(21)]
    for seed in (0, 7, 20):
        sample("--seed", f"{seed}-{seed}", "--separate", "--out", "alone.png", "--force")
        assert Path(f"a-{seed}.png").read_bytes() == Path("alone.png").read_bytes()


def test_a_folder_gets_files_and_skips_those_it_has(sample, folder):
    (folder / "out").mkdir()
    sample("--seed", "0-2", "--out", "out")
    assert visible(folder / "out") == [f"tiny-samples-{seed}.png" for seed in range(3)]
    Path("out/tiny-samples-1.png").write_text("mine")
    line = one_error_line(sample("--seed", "0-3", "-q", "--out", "out", code=2).stderr)
    assert "--force" in line and "--skip-existing" in line
    result = sample("--seed", "0-3", "--out", "out", "--skip-existing")
    assert result.stdout == "out/tiny-samples-3.png\n" and "3 of 4 exist already" in result.stderr
    assert Path("out/tiny-samples-1.png").read_text() == "mine"


def test_all_there_already_loads_nothing(sample, workshop):
    sample("--seed", "0-1", "--separate", "--out", "a.png")
    workshop.models.clear()
    assert "2 of 2 exist" in sample("--seed", "0-1", "--separate", "--out", "a.png", "--skip-existing").stderr


def test_one_that_cannot_be_written_does_not_stop_the_others(sample, folder, monkeypatch):
    save = images.save

    def failing(path, *args, **options):
        if path.name == "a-1.png":
            raise ArtgenError("could not write a-1.png: no space left on device")
        save(path, *args, **options)

    monkeypatch.setattr(images, "save", failing)
    result = sample("--seed", "0-2", "-q", "--separate", "--out", "a.png", code=1)
    assert result.stdout.splitlines() == ["a-0.png", "a-2.png"] == visible(folder)
    assert ["a-1.png" in result.stderr, "1 of 3 pictures failed" in result.stderr] == [True, True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_a_batch_keeps_what_is_done(sample, folder, workshop, monkeypatch, number):
    decode = Model.decode

    def interrupted(self, latents, labels=None):
        if len(self.calls) == 1:
            signal.raise_signal(number)
        return decode(self, latents, labels)

    monkeypatch.setattr(Model, "decode", interrupted)
    line = one_error_line(sample("--seed", "0-40", "-q", "--separate", "--out", "a.png", code=130).stderr)
    assert "interrupted after 17 of 41" in line
    assert len(visible(folder)) == 17, "the first batch, and the picture of the second that was in work"


def test_several_processes_share_the_files(sample, folder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, names in (("0", ["a-0.png", "a-2.png"]), ("1", ["a-1.png"])):
        monkeypatch.setenv("RANK", rank)
        assert sample("--seed", "0-2", "--separate", "--out", "a.png").stdout.splitlines() == names
    assert sample("--seed", "0-2", "--out", "b.png").stdout == "", "one file is the first process's"


# --- classes and truncation -----------------------------------------------------------------------------------------


@pytest.fixture
def classed(workshop, folder):
    return workshop.add(folder / "runs" / "classed", Model(classes=3), classes=["cat", "dog", "red car"])


def test_a_row_for_each_class(sample, classed):
    result = sample("--class", "all", "--seed", "0-3", "--out", "a.png", "--json", run="runs/classed")
    (line,) = facts(result)
    assert line["classes"] == ["cat", "dog", "red car"] and line["columns"] == 4
    for row in range(3):
        expected = drawn(classed, range(4), labels=torch.full((4,), row))
        assert all((cell("a.png", row, column) == expected[column]).all() for column in range(4))
    other = sample("--class", "dog", "--class", "cat", "--seed", "0-3", "--out", "b.png", run="runs/classed")
    assert "sample: rows, from above: dog, cat\n" in other.stderr
    assert (cell("b.png", 0, 2) == cell("a.png", 1, 2)).all() and (cell("b.png", 1, 2) == cell("a.png", 0, 2)).all()


def test_files_of_a_class_carry_its_name_and_run_again(sample, classed, folder):
    result = sample("--class", "all", "--seed", "0-1", "--separate", "--out", "a.png", run="runs/classed")
    names = [f"a-{name}-{seed}.png" for name in ("cat", "dog", "red-car") for seed in (0, 1)]
    assert result.stdout.splitlines() == names
    sample("--from", "a-red-car-1.png", "--out", "b.png", run=None)
    assert Path("a-red-car-1.png").read_bytes() == Path("b.png").read_bytes()
    line = one_error_line(
        sample(
            "--class", "all", "--separate", "--seed", "0-1", "-q", "--out", "a.png", run="runs/classed", code=2
        ).stderr
    )
    assert "a-cat-0.png exists" in line


def test_classes_that_are_not_there(sample, classed):
    line = one_error_line(sample("--class", "dgo", "-q", run="runs/classed", code=2).stderr)
    assert "there are: cat, dog, red car, all. Did you mean 'dog'?" in line
    assert "not trained to tell classes apart" in one_error_line(sample("--class", "cat", "-q", code=2).stderr)


def test_truncation(sample, workshop, folder):
    sample("--truncation", 0, "--seed", "0-3", "--out", "a.png")
    assert (cell("a.png", 0, 0) == cell("a.png", 1, 1)).all()
    sample("--truncation", 0.5, "--seed", "0-3", "--out", "b.png")
    assert (cell("b.png", 0, 1) == drawn(workshop.models["tiny"], [1], truncation=0.5)[0]).all()
    workshop.add(folder / "runs" / "drawing", Drawing())
    assert "no truncation" in one_error_line(sample("--truncation", 1, "-q", run="runs/drawing", code=2).stderr)


# --- what every output carries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_a_record_runs_again(sample, name):
    sample("--seed", 3, "--count", 7, "--columns", 3, "--truncation", 0.7, "--out", name)
    again = f"b{Path(name).suffix}"
    sample("--from", name, "--out", again, run=None)
    assert Path(name).read_bytes() == Path(again).read_bytes()
    sample("--from", name, "--seed", "1-2", "--out", "c.png", run=None)
    assert record.read(Path("c.png"))["seed"] == "1-2" and pixels("c.png").shape == (16, 34, 3)


def test_a_record_names_the_weights_and_a_change_is_noticed(sample, workshop):
    sample("--seed", 1, "--out", "a.png")
    assert record.read(Path("a.png"))["weights"] == {"runs/tiny": workshop.fingerprint}
    assert "warning" not in sample("--from", "a.png", "--out", "b.png", run=None).stderr
    workshop.fingerprint = "f" * 16
    assert (
        "runs/tiny is not the one that the record names" in sample("--from", "a.png", "--out", "c.png", run=None).stderr
    )


def test_no_metadata_and_quiet(sample):
    result = sample("--no-metadata", "-q", "--out", "a.png")
    assert set(Image.open("a.png").info) == {"icc_profile"} and result.stderr == ""


def test_settings_for_other_ways_do_no_harm(sample, folder):
    """A settings file or a record may name what only some calls can use; on the command line it would be a mistake."""
    settings = "duration = 0.5\nfps = 4\n[sample]\ncolumns = 2\ncount = 4\ntruncation = 0.5\nseparate = false\n"
    Path("artgen.toml").write_text(settings)
    sample("--seed", 0, "--out", "a.png")
    assert pixels("a.png").shape == (34, 34, 3)
    photograph(folder / "photo.png")
    sample("--reconstruct", "photo.png", "--out", "b.png")
    sample("--rate", "--out", "c.html")
    (line,) = facts(sample("--walk", "--seed", "0-0", "--out", "d.mp4", "--json"))
    assert line["frames"] == 2


def test_a_dry_run_writes_nothing(sample, folder):
    for flags in ((), ("--walk",), ("--neighbours",), ("--sweep", 1), ("--rate",), ("--compare", "runs/tiny")):
        (line,) = facts(sample("--dry-run", "--json", *flags))
        assert line["dry_run"] and line["pictures"] > 0 and line["memory_gb"] > 0 and len(line["paths"]) == 1
    assert visible(folder) == []


# --- what is refused ------------------------------------------------------------------------------------------------


def test_what_a_model_cannot_do_is_said_with_what_it_can(sample, workshop, folder):
    workshop.add(folder / "runs" / "drawing", Drawing())
    workshop.add(folder / "runs" / "coder", Coder())
    workshop.add(folder / "runs" / "eye", torch.nn.Identity())
    photograph(folder / "a.png")
    for run, flags, says in (
        ("eye", [], "no model that draws"),
        ("drawing", ["--walk"], "cannot do --walk; it can do: random samples, --neighbours, --rate, --score."),
        ("drawing", ["--reconstruct", "a.png"], "cannot do --reconstruct"),
        ("drawing", ["--between", "a.png", "runs/../a.png"], "cannot do --between"),
        ("coder", [], "cannot do random samples; it can do: --reconstruct, --between."),
        ("coder", ["--sweep", 0], "cannot do --sweep"),
        ("coder", ["--rate"], "cannot do --rate"),
    ):
        assert says in one_error_line(sample(*flags, "-q", run=f"runs/{run}", code=2).stderr)
    assert visible(folder) == ["a.png"]


def test_a_sheet_that_no_file_holds(sample, workshop):
    line = one_error_line(sample("--seed", "0-4999", "--size", 512, "-q", code=2).stderr)
    assert "--separate" in line and workshop.models["tiny"].calls == []


BAD_REQUESTS = [
    ([], "name the run"),
    (["rnus"], "no run rnus. Did you mean 'runs'?"),
    (["runs", "--compare", "nothing"], "no run nothing"),
    (["runs", "--seed", "x"], "--seed 'x'"),
    (["runs", "--seed", "2147483640"], "the largest"),
    (["runs", "--out", "there.png"], "--force"),
    (["runs", "--out", "a.mp4"], "cannot write .mp4"),
    (["runs", "--out", "gallery"], "a folder: gallery/"),
    (["runs", "--out", "no/a.png"], "no folder no"),
    (["runs", "--walk", "--out", "a.png"], "cannot write .png"),
    (["runs", "--walk", "--out", "-"], "needs a file"),
    (["runs", "--rate", "--out", "a.png"], "use one of .html"),
    (["runs", "--walk", "--neighbours"], "do not go together"),
    (["runs", "--walk", "--loop"], "--loop has no meaning with --walk"),
    (["runs", "--reconstruct", "there.png", "--truncation", "1"], "--truncation has no meaning"),
    (["runs", "--reconstruct", "no.png"], "no file no.png"),
    (["runs", "--reconstruct"], "--reconstruct"),
    (["runs", "--between", "there.png"], "two pictures or more"),
    (["runs", "--interpolate", "--seed", "3-3"], "two seeds or more"),
    (["runs", "--duration", "3"], "--duration is the length of a film"),
    (["runs", "--separate", "--out", "-"], "takes one picture"),
    (["runs", "--sweep", "-1"], "--sweep"),
    (["runs", "--from", "there.png"], "carries no artgen recipe"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD_REQUESTS, ids=[" ".join(words) for words, _ in BAD_REQUESTS])
def test_a_bad_request_is_one_line_and_exit_2(invoke, folder, arguments, says):
    photograph(folder / "there.png")
    (folder / "runs").mkdir()
    before = snapshot(folder)
    result = invoke("sample", *arguments)
    assert says in one_error_line(result.stderr)
    assert (result.exit_code, result.stdout) == (2, "") and snapshot(folder) == before


# --- options that take several values -------------------------------------------------------------------------------

VALUES = st.text("abc/.-0", min_size=1, max_size=6).filter(lambda text: text == "-" or not text.startswith("-"))


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4), st.lists(VALUES, min_size=1, max_size=3), VALUES)
def test_a_list_ends_at_the_next_option(pictures, others, run):
    args = [run, "--reconstruct", *pictures, "-q", "--compare", *others, "--out", "a.png"]
    expected = [run, *(word for value in pictures for word in ("--reconstruct", value)), "-q"]
    expected += [*(word for value in others for word in ("--compare", value)), "--out", "a.png"]
    assert spread(args) == expected
    assert spread(expected) == expected, "the long form stays as it is"
    assert spread([f"--between={pictures[0]}", *others, "--", *pictures])[-len(pictures) - 1 :] == ["--", *pictures]
