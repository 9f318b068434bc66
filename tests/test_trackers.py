"""Trackers: what is missing is said before anything runs, what is there records, and none can end a training."""

import importlib.util
import os
import subprocess
import sys

import pytest

from artcli.errors import UsageError
from artcli.training import trackers
from artcli.training.trackers import Trackers
from tests.conftest import photograph


def installed(*packages):
    return all(importlib.util.find_spec(package) for package in packages)


def hide(monkeypatch, *packages):
    """Make packages look as if they were not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else find(name))


class Fake:
    """A tracker that remembers, and fails in the methods it is told to."""

    def __init__(self, *fails):
        self.fails, self.calls = fails, []

    def __getattr__(self, method):
        def call(*args, **options):
            if method in self.fails:
                raise OSError(28, "no space\nleft")
            self.calls.append((method, args, options))

        return call


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Trackers whose packages count as installed and that are the fakes given by name."""

    def make(config=None, step=0, **fakes):
        monkeypatch.setattr(trackers, "_missing", lambda package: False)
        for name, fake in fakes.items():
            monkeypatch.setitem(trackers._STARTERS, name, lambda run, step, fake=fake: fake.start() or fake)
        return Trackers(list(fakes), tmp_path, config or {}, step=step)

    return make


def test_a_package_that_is_missing_is_named(monkeypatch, tmp_path):
    hide(monkeypatch, "wandb", "tensorboard")
    with pytest.raises(UsageError, match=r"^wandb is not installed; get it with: pip install wandb$"):
        Trackers(["wandb"], tmp_path, {})
    assert trackers.available() == []
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_is_not_known(tmp_path):
    with pytest.raises(UsageError, match=r"no tracker 'tensorbord'; there are: tensorboard, wandb. Did you mean"):
        trackers.check(["tensorbord"])


def test_none_does_nothing(tmp_path):
    none = Trackers([], tmp_path, {"a": 1})
    assert none.log({"loss": 1.0}, 1) == none.image("samples", tmp_path / "none.png", 1) == none.close() == []


def test_tables_become_names_and_only_numbers_are_recorded(start):
    fake = Fake()
    start({"config": {"lr": 0.1, "widths": [1, 2], "none": None}, "seed": 3}, tensorboard=fake).log(
        {"train": {"loss": 0.5, "note": "x"}, "rate": {"main": 1}, "ok": True, "none": None}, 7
    )
    calls = {method: (args, options) for method, args, options in fake.calls}
    assert calls["settings"][0] == ({"config.lr": 0.1, "config.widths": "[1, 2]", "seed": 3},)
    assert calls["log"] == (({"train/loss": 0.5, "rate/main": 1}, 7), {})


def test_a_run_that_goes_on_does_not_repeat_its_settings(start):
    fake = Fake()
    start({"a": 1}, step=100, tensorboard=fake)
    assert [method for method, _, _ in fake.calls] == ["start"]


@pytest.mark.parametrize("method", ["log", "image", "close"])
def test_one_that_fails_is_let_go_and_the_other_stays(start, tmp_path, method):
    bad, good = Fake(method), Fake()
    both = start(tensorboard=bad, wandb=good)
    picture = photograph(tmp_path / "grid.png")
    lines = both.log({"loss": 1.0}, 1) + both.image("samples", picture, 1) + both.log({"loss": 2.0}, 2) + both.close()
    assert lines == ["tensorboard stopped (OSError: [Errno 28] no space left); the training goes on without it"]
    assert [name for name, _, _ in good.calls][-4:] == ["log", "image", "log", "close"]


def test_one_that_cannot_start_stops_those_before_it(start):
    first = Fake()
    with pytest.raises(UsageError, match=r"wandb cannot start .*WANDB_MODE=offline"):
        start(tensorboard=first, wandb=Fake("start"))
    assert first.calls[-1][0] == "close"


def test_a_picture_that_cannot_be_read_is_a_line(start, tmp_path):
    (tmp_path / "grid.png").write_text("no picture")
    assert "a text file" in start(tensorboard=Fake()).image("samples", tmp_path / "grid.png", 1)[0]


# --- the real ones ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not installed("tensorboard"), reason="TensorBoard is not installed")
def test_tensorboard_reads_what_was_written(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    run.mkdir()
    picture = photograph(tmp_path / "grid.png", (40, 30))
    for steps, first in ((range(1, 9), 0), (range(6, 11), 5)):  # killed after step 8, goes on at step 5
        tracker = Trackers(["tensorboard"], run, {"config": {"lr": 0.1}}, step=first)
        for step in steps:
            assert tracker.log({"train": {"loss": 1 / step}, "val": {"loss": float("nan")}}, step) == []
        assert tracker.image("samples", picture, steps[-1]) == [] == tracker.close()
    found = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    loss = found.Scalars("train/loss")
    assert [event.step for event in loss] == list(range(1, 11))
    assert [event.value for event in loss] == pytest.approx([1 / step for step in range(1, 11)])
    assert b"config.lr" in found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert {path.parent.name for path in run.rglob("*tfevents*")} == {"tensorboard"}, "settings are of the run itself"
    image = found.Images("samples")[-1]
    assert (image.step, image.width, image.height) == (10, 40, 30)


WANDB_RUN = """
import sys
from pathlib import Path
from artcli.training.trackers import Trackers
run = Path(sys.argv[1])
tracker = Trackers(["wandb"], run, {"config": {"lr": 0.1}})
for step in range(1, 4):
    assert tracker.log({"train": {"loss": 1 / step}}, step) == []
assert tracker.image("samples", run / "grid.png", 3) == [] == tracker.close()
"""


@pytest.mark.skipif(not installed("wandb"), reason="wandb is not installed")
@pytest.mark.parametrize("mode", ["offline", None])
def test_wandb_without_an_account_stays_on_the_machine(tmp_path, mode):
    """A process of its own, with a home that holds no account: it must neither ask nor write to standard output."""
    photograph(tmp_path / "grid.png", (40, 30))
    home = tmp_path / "home"
    env = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    env |= {"HOME": str(home), "NETRC": str(home / "none")} | ({"WANDB_MODE": mode} if mode else {})
    done = subprocess.run(
        [sys.executable, "-c", WANDB_RUN, tmp_path], env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""
    (record,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    content = record.read_bytes()
    assert b"train/loss" in content and b"config.lr" in content
    assert list((tmp_path / "wandb").glob("offline-run-*/files/media/images/samples*.png"))
    assert record.stem == f"run-{(tmp_path / 'wandb' / 'artgen-id.txt').read_text().strip()}"
