"""`artgen train` on folders of pictures: runs, going on, what it writes and what it refuses."""

import json
import os
import random
import shutil
import socket
import sys
import time
import tomllib
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from artcli.cli import app
from artcli.commands.shared import loop
from artcli.commands.train import run as train_run
from artcli.errors import ArtgenError
from artcli.media import files
from artcli.training import checkpoint, report, samples
from artcli.training.clock import Clock
from artcli.training.trainer import Trainer
from tests import warm
from tests.conftest import animation, one_error_line, photograph, snapshot
from tests.odd_files import as_anybody
from tests.tiny import flags, write_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "blobs")


def line(data, *more, model="autoencoder", out="run", steps=6):
    length = ["--steps", steps] if steps else []
    return ["train", model, data, "--out", out, *length, "--save-every", 2, *flags(model), *more]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data):
    """The run of `line(data)`."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    result = CliRunner().invoke(app, list(map(str, line(data, "-q", out=run))))
    assert result.exit_code == 0, result.stderr
    return run


def weights(run):
    return checkpoint.read(Path(run) / "weights.safetensors")[0]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def refused(result, code=2):
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    return one_error_line(result.stderr)


# --- what comes out -------------------------------------------------------------------------------------------------


def test_the_run_says_what_it_is(invoke, folder, data):
    assert invoke(*line(data, "-q", "--flip", "--val-fraction", 0.25)).exit_code == 0
    what = tomllib.loads(Path("run/run.toml").read_text())
    assert (what["model"], what["seed"], what["steps"]) == ("autoencoder", 0, 6)
    assert what["config"]["size"] == 16 and what["config"]["lr"] == 0.001
    assert what["data"]["pictures"] == 24 and what["data"]["augmentation"]["flip"] is True
    assert what["data"]["training"] + what["data"]["validation"] == 24
    assert json.loads(Path("run/environment.json").read_text())["torch"] == torch.__version__


def test_epochs(invoke, folder, data):
    result = invoke(*line(data, "--epochs", 2, "--val-fraction", 0, steps=None))
    assert "6 steps" in result.stderr, "24 pictures in batches of 8, twice"
    assert "give --steps or --epochs" in refused(invoke(*line(data, "--epochs", 2, "-q", out="b")))


def test_a_part_of_the_datas_own_is_held_out_and_it_is_said(invoke, folder):
    for part in ("train", "test"):
        write_pictures(folder / "parts" / part, count=8, seed=len(part))
    said = "held out instead of --val-fraction"
    assert said in invoke(*line("parts", "--val-fraction", 0.3, "--dry-run")).stderr
    for more in ([], ["--val-fraction", 0]):
        assert said not in invoke(*line("parts", *more, "--dry-run")).stderr


def test_runs_are_numbered_and_the_same_line_finds_its_own(invoke, folder, data):
    plain = [part for part in line(data) if part not in ("--out", "run")]
    first = invoke(*plain)
    assert first.stdout == "runs/0001-autoencoder-blobs/weights.safetensors\n"
    again = invoke(*plain)
    assert again.stdout == first.stdout and "is finished" in again.stderr
    assert invoke(*plain, "--seed", 1).stdout == "runs/0002-autoencoder-blobs/weights.safetensors\n"
    Path("runs/0002-autoencoder-blobs/run.toml").write_text("{")
    assert invoke(*plain).stdout == first.stdout, "a damaged neighbour is no obstacle"
    longer = invoke(*[8 if part == 6 else part for part in plain])
    assert longer.stdout == first.stdout and "going on at step 6" in longer.stderr


def test_the_same_line_gives_the_same_weights(invoke, folder, data, whole):
    assert invoke(*line(data, "-q", out="again")).exit_code == 0
    assert same(weights(whole), weights("again"))
    assert invoke(*line(data, "-q", "--seed", 1, out="other")).exit_code == 0
    assert not same(weights(whole), weights("other"))


def test_json(invoke, folder, data):
    result = invoke(*line(data, "-q", "--json"))
    assert json.loads(result.stdout) == {"paths": ["run/weights.safetensors"], "steps": 6, "finished": True}


def test_a_dry_run_writes_nothing(invoke, folder, data):
    result = invoke(*line(data, "--dry-run"))
    assert result.exit_code == 0 and "6 steps" in result.stderr and snapshot(folder) == {}


def test_a_dry_run_foresees_the_steps_that_are_left(invoke, folder, data, whole, monkeypatch):
    """Those in the middle of the run count more than the first; of large batches a part is tried."""
    tried = []

    def try_step(self, step, most):
        tried.append((step, most))
        return most * (0.125 if step < 500 else 0.25)

    def told(*more):
        tried.clear()
        result = invoke(*line(data, "--dry-run", "--json", "-q", *more, steps=1000))
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    monkeypatch.setattr(Trainer, "try_step", try_step)
    assert told()["seconds"] == 1000 * 8 * 0.1875
    assert tried == [(0, 2), (0, 2), (900, 8), (300, 8), (600, 8), (50, 8)]
    assert told("--time-limit", "60s")["seconds"] == 60
    monkeypatch.setattr("artcli.commands.train.foreseen._TRYING", 0.5)
    assert told()["seconds"] == 1000 * 8 * 0.1875
    assert tried[2:] == [(900, 2), (300, 2), (600, 2), (50, 2)]
    shutil.copytree(whole, "run")
    assert told()["steps"] == 994 and tried[:2] == [(6, 2)] * 2
    assert "is finished" in invoke(*line(data, "--dry-run")).stderr


def test_grey_pictures_and_other_preparations(invoke, folder, data):
    assert invoke(*line(data, "-q", "--color", "grey", out="grey")).exit_code == 0
    assert weights("grey")["encoder.0.weight"].shape[1] == 1
    assert Image.open("grey/samples/step-000006.png").mode == "RGB"
    more = ["--color", "ycbcr", "--filter", "box", "--crop", "12", "--flip", "--zoom", ".2", "--rotate", "15"]
    assert invoke(*line(data, "-q", *more, out="more")).exit_code == 0
    prepared = tomllib.loads(Path("more/run.toml").read_text())["data"]["preparation"]
    assert (prepared["color"], prepared["crop_pixels"], prepared["filter"]) == ("ycbcr", 12, "box")


def test_classes(invoke, folder):
    write_pictures(folder / "kinds", classes=["cats", "dogs"])
    assert invoke(*line("kinds", "-q", "--balanced", model="vqvae")).exit_code == 0
    assert checkpoint.read(Path("run/weights.safetensors"))[1]["data"]["classes"] == ["cats", "dogs"]


def test_check_looks_at_the_data_only(invoke, folder):
    write_pictures(folder / "kinds", classes=["cats", "dogs"])
    (folder / "kinds/cats/broken.png").write_bytes(b"no picture")
    result = invoke("train", "autoencoder", "kinds", "--check")
    assert result.exit_code == 0 and "broken.png" in result.stderr and "cats" in result.stderr
    found = json.loads(invoke("train", "autoencoder", "kinds", "--check", "--json", "-q").stdout)
    assert "broken.png" in json.dumps(found)
    assert not (folder / "runs").exists()


# --- stopping and going on ------------------------------------------------------------------------------------------


def test_the_limit_holds_for_all_of_a_start(monkeypatch):
    """No further step is begun that would, with the saving after it, end beyond the limit."""
    now = [100.0]
    monkeypatch.setattr("artcli.training.clock.time.monotonic", lambda: now[0])
    clock = Clock(120, started=90.0, bytes=400_000_000)  # a checkpoint of 1.6 GB
    assert clock.spent == 10 and clock.saving == 9.0
    assert not clock.last_step(100.0) and clock.last_step(102.0)
    with clock.save():
        now[0] += 30
    assert clock.saving == 30 and not clock.last_step(49.0) and clock.last_step(51.0)
    with clock.save():
        now[0] += 1
    assert clock.saving == 30, "one with a report comes again"
    with clock.look():
        now[0] += 8
    assert not clock.last_step(48.0 - 8) and clock.last_step(42.0, looks=True) and not clock.last_step(32, looks=True)
    now[0] -= 8
    assert not clock.overdue()
    clock.check_reading(1, 2)
    now[0] += 81
    assert clock.overdue()
    with pytest.raises(ArtgenError, match="over when 1 of 2 pictures were read"):
        clock.check_reading(1, 2)
    assert not Clock(None, 0.0).overdue() and not Clock(None, 0.0).last_step(1e9)


@pytest.mark.parametrize(("limit", "saving"), [(40, 0.5), (60, 0.5), (79, 0.5), (82, 0.5), (155, 4.0), (160, 4.0)])
def test_a_start_ends_within_the_limit(invoke, folder, data, monkeypatch, limit, saving):
    """Reading, rehearsing, steps, looks, saving and the last report together; no more than a step beyond."""
    step, now = 3.0, [1000.0]
    costs = {
        (train_run.source, "open"): 12.0, (Trainer, "_advance"): step, (Trainer, "validate"): 2.0,
        (samples, "write"): 2.0, (checkpoint, "save"): saving, (report, "write"): saving / 2,
    }  # fmt: skip
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for (where, name), seconds in costs.items():
        monkeypatch.setattr(where, name, slowly(getattr(where, name), now, seconds))
    result = invoke(*line(data, "--time-limit", f"{limit}s", "--save-every", 20, steps=1000))
    assert result.exit_code == 0 and "saved; the same command goes on" in result.stderr, result.stderr
    spent = now[0] - 1000
    assert limit - 4 * step < spent <= limit + step, "used, and not overrun"
    assert (folder / "run/report.html").exists()


def slowly(work, now, seconds):
    """The work, after which the clock stands so much later."""

    def done(*args, **how):
        result = work(*args, **how)
        now[0] += seconds
        return result

    return done


def test_what_is_looked_at_in_vain_is_given_up(invoke, folder, data, monkeypatch):
    """By the clock here; Ctrl-C does the same.  The checkpoint is kept and the run goes on from it."""
    with monkeypatch.context() as patch:
        patch.setattr(Clock, "spent", property(lambda self: 1e6))
        result = invoke(*line(data, "--time-limit", "1h", "--save-every", 1))
    assert result.exit_code == 0, result.stderr
    assert "no time for the held-out pictures at step 1" in result.stderr and "stopped at step 1 of 6" in result.stderr
    assert not json.loads(Path("run/metrics.jsonl").read_text())["val"] and not (folder / "run/samples").exists()
    assert invoke(*line(data, "-q", "--save-every", 1)).exit_code == 0


def test_a_slow_sampler_does_not_draw_at_every_save(invoke, folder, data, whole, monkeypatch):
    """What it draws changes nothing of what it learns, also where drawing looks at training pictures first."""
    monkeypatch.setattr(samples, "SLOW", 0.0)
    assert invoke(*line(data, "-q", out="slow")).exit_code == 0
    assert [p.name for p in sorted(Path("slow/samples").iterdir())] == ["step-000002.png", "step-000006.png"]
    assert len(list((whole / "samples").iterdir())) == 3 and same(weights(whole), weights("slow"))
    monkeypatch.setattr(samples, "EVERY", 0.0)
    assert invoke(*line(data, "-q", out="often")).exit_code == 0
    assert len(list(Path("often/reconstructions").iterdir())) == 3


def test_patience_ends_a_run_that_gets_no_better(invoke, folder, data):
    """A rate that changes nothing: no checkpoint after the first is better."""
    still = line(data, "--set", "lr=1e-30", steps=40)
    result = invoke(*still, "--patience", 2)
    assert result.exit_code == 0 and "for 2 checkpoints; finished with step 2" in result.stderr
    assert Path("run/weights.safetensors").as_posix() in result.stdout
    assert checkpoint.read(Path("run/weights.safetensors"))[1]["step"] == 2
    assert same(weights("run"), checkpoint.read(Path("run/best.safetensors"))[0])
    rows = Path("run/metrics.jsonl").read_text()
    assert "run is finished; more --patience" in invoke(*still, "--patience", 2).stderr
    assert Path("run/metrics.jsonl").read_text() == rows
    assert "for 3 checkpoints" in invoke(*still, "--patience", 3).stderr
    assert json.loads(Path("run/metrics.jsonl").read_text().splitlines()[-1])["step"] == 8


def test_patience_does_not_stop_what_gets_better(invoke, folder, data):
    result = invoke(*line(data, "--patience", 1, "--set", "lr=1e-3"))
    assert result.exit_code == 0 and "train: done" in result.stderr


def test_patience_needs_something_to_wait_for(invoke, folder, data):
    result = invoke(*line(data, "--patience", 1, "--val-fraction", 0))
    assert result.exit_code == 2 and "holds nothing out" in result.stderr
    assert not Path("run/checkpoints").exists()


def test_bf16_that_is_emulated_is_told(invoke, folder, data, monkeypatch):
    for native in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(train_run.devices, "fast_dtype", lambda device, native=native: native)
        result = invoke(*line(data, "--precision", "bf16", "--dry-run"))
        assert result.exit_code == 0
        assert ("fp32 is faster here" in result.stderr) == (native == torch.float32)


def test_ctrl_c(invoke, folder, data, monkeypatch):
    with monkeypatch.context() as pressed:
        after_loading = lambda session: pressed.setattr(loop.Stop, "requested", True)  # noqa: E731
        pressed.setattr(train_run.Session, "_rehearse", after_loading)
        result = invoke(*line(data, "-q"))
    assert result.exit_code == 130
    assert "stopped at step 1 of 6 and saved; the same command goes on" in one_error_line(result.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_killed_at_random_moments(invoke, folder, data):
    """kill -9 in a step, between epochs or in a checkpoint: the same line ends at the same bytes."""
    model = "vqgan"  # two optimizers, running means, and a discriminator that starts on the way
    args = [*map(str, line(data, "-q", model=model, steps=14)), "--save-every", "1"]
    assert invoke(*line(data, "-q", "--save-every", 1, model=model, steps=14, out="whole")).exit_code == 0
    rng = random.Random(model)
    for _ in range(2):
        before = len(list(Path("run").glob("metrics.jsonl")))
        process = warm.Process(args)
        deadline = time.monotonic() + 100
        started = Path("run/metrics.jsonl").stat().st_mtime_ns if before else 0
        while process.poll() is None:  # a small model may be done before it is killed
            if Path("run/metrics.jsonl").exists() and Path("run/metrics.jsonl").stat().st_mtime_ns > started:
                break
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(rng.random() * 0.5)
        process.kill()
        process.wait()
    temporary = files.temporary(Path("run/x.png"))
    temporary.with_name(temporary.name.replace(str(os.getpid()), str(process.pid), 1)).touch()
    assert invoke(*args).exit_code == 0
    assert not list(Path("run").rglob(".artgen-*"))
    assert same(weights("run"), weights("whole"))
    found, wanted = (checkpoint.read(Path(run) / "weights.safetensors")[1] for run in ("run", "whole"))
    assert found | {"command": None} == wanted | {"command": None}


def test_a_run_folder_that_cannot_be_written(invoke, folder, data):
    Path("locked").mkdir(mode=0o500)
    with as_anybody():
        said = refused(invoke(*line(data, "-q", out="locked")))
    assert "cannot write into the run folder locked: permission denied" in said


def test_two_processes_do_not_write_to_one_run(invoke, folder, data):
    from filelock import FileLock

    Path("run").mkdir()
    with FileLock("run/.lock"):
        assert "another process is training run" in refused(invoke(*line(data, "-q")))


def test_a_full_disk_leaves_the_last_checkpoint_whole(invoke, folder, data, whole, monkeypatch):
    def full(path, tensors, description):
        if description["step"] == 4:
            raise OSError(28, "No space left on device")
        return export(path, tensors, description)

    export = checkpoint.export
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "export", full)
        text = refused(invoke(*line(data, "-q")), 1)
    assert "cannot save step 4" in text and "no space left" in text.lower() and "goes on from there" in text
    assert checkpoint.load(Path("run"))["trainer"]["step"] == 2
    assert invoke(*line(data, "-q")).exit_code == 0
    assert same(weights("run"), weights(whole))


# --- several processes ----------------------------------------------------------------------------------------------


def as_two_ranks(*arguments):
    """Run it until it is done, in two processes that know what torchrun tells those that it starts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    alone = os.environ | shared | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    ranks = [
        warm.Process(arguments, stderr=warm.PIPE, text=True, env=alone | {"RANK": rank, "LOCAL_RANK": rank})
        for rank in "01"
    ]
    said = [rank.communicate(200)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said


def in_two_processes(*arguments):
    """Run the executable under torchrun until it is done."""
    line = ["--standalone", "--nproc-per-node=2", "--no-python", warm.program(Path("artgen").absolute()), *arguments]
    env = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    torchrun = "from torch.distributed.run import main; main()"
    with warm.Process(line, stdout=warm.PIPE, stderr=warm.PIPE, text=True, env=env, code=torchrun) as process:
        said = process.communicate(200)[1]
    assert process.returncode == 0, said


def logged(run):
    return [json.loads(row) for row in Path(run, "metrics.jsonl").read_text().splitlines()]


@pytest.mark.skipif(sys.platform == "win32", reason="gloo under torchrun")
def test_two_processes_learn_as_one(invoke, folder, data):
    """The same global batch gives the same losses, through torchrun and gloo; also when one goes on where two were."""
    assert invoke(*line(data, "-q", "--device", "cpu", out="one")).exit_code == 0
    in_two_processes(*line(data, "-q", out="pair"))
    as_two_ranks(*line(data, "-q", "--time-limit", "0.0001", out="mixed"))
    assert 0 < len(logged("mixed")) < len(logged("one"))
    assert invoke(*line(data, "-q", "--device", "cpu", out="mixed")).exit_code == 0
    for run in ("pair", "mixed"):
        for wanted, found in zip(logged("one"), logged(run), strict=True):
            for kind in ("train", "val"):
                assert found[kind] == pytest.approx(wanted[kind], rel=1e-5)
        for name, tensor in weights("one").items():
            torch.testing.assert_close(weights(run)[name], tensor, rtol=1e-4, atol=1e-5)


# --- what it refuses ------------------------------------------------------------------------------------------------


def test_a_run_with_other_settings(invoke, folder, data):
    invoke(*line(data, "--time-limit", "0.0001", "-q"))
    before = snapshot(folder)
    text = refused(invoke(*line(data, "-q", "--seed", 5, "--set", "lr=0.5")))
    assert "seed 0 -> 5" in text and "config.lr 0.001 -> 0.5" in text and "config.batch" not in text
    assert "--accept-changes" in text and snapshot(folder) == before
    assert invoke(*line(data, "-q", "--set", "lr=0.5", "--accept-changes")).exit_code == 0


def test_a_truncated_checkpoint(invoke, folder, data):
    invoke(*line(data, "--time-limit", "0.0001", "-q"))
    (path,) = (folder / "run").glob("checkpoints/*/state.pt")
    path.write_bytes(path.read_bytes()[:1000])
    assert "state.pt cannot be read" in refused(invoke(*line(data, "-q")), 3)


def test_a_run_of_another_version(invoke, folder, data):
    Path("run").mkdir()
    Path("run/run.toml").write_text('format = 7\nversion = "9.9"\n')
    assert "made by artgen 9.9 in format 7" in refused(invoke(*line(data, "-q")))


def test_a_damaged_description_of_the_run(invoke, folder, data):
    Path("run").mkdir()
    Path("run/run.toml").write_text("{")
    assert "run.toml cannot be read" in refused(invoke(*line(data, "-q")))


def test_places_that_cannot_be_a_run(invoke, folder, data):
    Path("run").write_text("mine")
    assert "run is a file" in refused(invoke(*line(data, "-q")))
    assert "cannot write into the run folder" in refused(invoke(*line(data, "-q", out="run/deeper")))
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    assert "a folder with other things in it" in refused(invoke(*line(data, "-q", out="mine")))
    assert snapshot(folder) == {"run": b"mine", "mine": None, "mine/notes.txt": b"mine"}


def test_data_that_is_none(invoke, folder):
    assert "nowhere" in refused(invoke(*line("nowhere", "-q")))
    Path("empty").mkdir()
    assert "empty" in refused(invoke(*line("empty", "-q")))
    Path("texts").mkdir()
    Path("texts/a.txt").write_text("a")
    assert "txt" in refused(invoke(*line("texts", "-q")))
    assert not Path("run").exists()


def test_a_tenth_of_the_pictures_is_broken(invoke, folder):
    write_pictures(folder / "data", 20)
    for name in ("005.png", "011.png"):
        (folder / "data" / name).write_bytes((folder / "data" / name).read_bytes()[:60])
    result = invoke(*line("data"))
    assert result.exit_code == 0
    assert "left out 005.png" in result.stderr and "left out 011.png" in result.stderr
    skipped = tomllib.loads(Path("run/run.toml").read_text())["data"]["skipped"]
    assert [entry["name"] for entry in skipped] == ["005.png", "011.png"]


@pytest.mark.parametrize("model", ["autoencoder", "painter", "cyclegan", "pix2pix"])
def test_that_first_frames_are_taken_is_told_once_with_their_count(invoke, folder, model):
    write_pictures(folder / "data", 4)
    for name in ("a.gif", "b.webp", "c.png"):
        animation(folder / "data" / name, (20, 20))
    pages = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime")]
    pages[0].save(folder / "data/pages.tif", save_all=True, append_images=pages[1:])
    shutil.copytree("data", "other")
    two = model in ("cyclegan", "pix2pix")
    for _ in range(2):  # the second time from the cache
        said = invoke(*line("data", *["other"] * two, "--dry-run", model=model)).stderr
        assert said.count("several") == 1
        assert f"data: of {8 if two else 4} pictures with several frames or pages, the first is taken" in said


def test_one_picture_is_learned_by_heart(invoke, folder):
    write_pictures(folder / "data", 1)
    assert invoke(*line("data/000.png", "-q")).exit_code == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--preset", "cifar"], "no preset 'cifar'; there are: cifar10"),
        (["--set", "widht=3"], "Did you mean 'width'?"),
        (["--set", "width"], "has to be name=value"),
        (["--set", "width=wide"], "width is like 16"),
        (["--set", "size=17"], "17"),
        (["--precision", "fp8"], "--precision 'fp8' is not known"),
        (["--precision", "fp16", "--device", "cpu"], "needs a CUDA GPU"),
        (["--color", "cmyk"], "--color 'cmyk'"),
        (["--crop", "middle"], "--crop 'middle'"),
        (["--cutout", "magic"], "--cutout 'magic'"),
        (["--track", "ledger"], "ledger"),
        (["--balanced"], "no classes"),
    ],
)
def test_a_bad_option(invoke, folder, data, more, says):
    assert says in refused(invoke(*line(data, "-q"), *more))
    assert not Path("run/weights.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["vae", "--patience", 3, "--val-fraction", 0], "--patience waits for the held-out loss, and --val-fraction 0"),
        (["clip", "--patience", 3, "--val-fraction", 0], "--patience waits for the held-out loss, and --val-fraction"),
        (["clip"], "clip learns from texts and from packed sets of pictures with names; weights/recipes/"),
        (
            ["clip", "--set", "text_steps=0", "--set", "start=clip-mini"],
            "no packed sets of pictures with names (*.npz); weights/recipes/",
        ),
    ],
)
def test_what_a_training_lacks_is_said_before_there_is_a_run(invoke, folder, arguments, says):
    (folder / "pics").mkdir()
    photograph(folder / "pics" / "a.png")
    result = invoke("train", arguments[0], "pics", *arguments[1:], "-q")
    assert result.exit_code == 2 and says in one_error_line(result.stderr)
    assert [path.name for path in folder.iterdir()] == ["pics"]
