"""`artgen batch --watch FOLDER`: what is dropped is done once, when it is whole, until somebody ends it."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from artcli.commands.batch import watch
from tests import test_cyclegan_run, warm
from tests.conftest import one_error_line, photograph

PATIENCE = 100  # seconds to wait for a sign of life on a busy machine

tiny_translator = test_cyclegan_run.tiny_translator
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture
def jobs(folder, tiny_translator):
    """jobs.jsonl, which carries over what is dropped into `in`, and that folder."""
    job = {"verb": "cyclegan", "model": str(tiny_translator), "inputs": "{file}", "out": "out/{file}.png"}
    Path("jobs.jsonl").write_text(json.dumps(job))
    for name in ("in", "out"):
        Path(name).mkdir()
    return folder


LINE = ["batch", "jobs.jsonl", "--watch", "in"]
OFTEN = """
from artcli.__main__ import main
from artcli.commands.batch import watch
watch.STILL_FOR, watch.LOOK_EVERY = 0.1, 0.05
main()
"""


def until(there, process=None):
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def drop(name, size=(20, 16), **how):
    """Whole at once, as programs that care do it."""
    photograph(Path("new.png"), size, **how).rename(f"in/{name}")


@pytest.fixture
def quick(monkeypatch):
    """What is dropped counts as whole at once, and the time is over when nothing is left to do."""
    monkeypatch.setattr(watch, "STILL_FOR", 0.0)
    monkeypatch.setattr(watch, "LOOK_EVERY", 0.01)
    alarms, look = [], watch.Inbox.look

    class Alarm(watch.Alarm):
        def __init__(self, seconds):
            super().__init__(seconds)
            alarms.append(self)

    def looking(inbox, now, still_for):
        found = look(inbox, now, still_for)
        alarms[-1].rang |= not found
        return found

    monkeypatch.setattr(watch, "Alarm", Alarm)
    monkeypatch.setattr(watch.Inbox, "look", looking)


# --- through the executable ------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_dropped_is_done_until_a_signal(jobs, number):
    drop("early.png")
    process = warm.Process(LINE, stdout=warm.PIPE, stderr=warm.PIPE, text=True, code=OFTEN)
    until(Path("out/early.png").exists, process)
    drop("late.png", (24, 16))
    Path("in/broken.png").write_bytes(b"no picture")
    until(lambda: Path("out/late.png").exists() and '"failed"' in Path("jobs.jsonl.done").read_text(), process)
    process.send_signal(number)
    out, err = process.communicate(PATIENCE)
    assert (process.returncode, out) == (130, "out/early.png\nout/late.png\n")
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "broken.png" in errors[0] and errors[1:] == ["error: interrupted; 2 done, 1 failed"]
    assert "batch: watching in; Ctrl-C ends it" in err and "Traceback" not in err
    assert Image.open("out/late.png").size == (24, 16)
    assert not [path for path in Path("out").iterdir() if path.name.startswith(".")]


@posix
def test_a_second_watcher_says_so(artgen, jobs):
    process = warm.Process(LINE, stderr=warm.PIPE, text=True)
    try:
        assert "watching in" in process.stderr.readline()
        code, _, said = artgen(*LINE)
        assert code == 2 and "is running already" in one_error_line(said)
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
    assert process.returncode == 130 and one_error_line(said) == "interrupted; 0 done"


@posix
def test_killed_it_does_what_is_left(jobs):
    for number in range(4):
        drop(f"{number}.png", (200, 160))
    process = warm.Process(LINE, code=OFTEN)
    until(lambda: '"done"' in Path("jobs.jsonl.done").read_text() if Path("jobs.jsonl.done").exists() else False)
    process.kill()
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("[0-9].png")}
    assert before
    process = warm.Process([*LINE, "-q"], code=OFTEN)
    until(lambda: Path("jobs.jsonl.done").read_text().count('"done"') == 4, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 130
    assert {path.name for path in Path("out").iterdir()} == {f"{number}.png" for number in range(4)}
    done = [json.loads(line) for line in Path("jobs.jsonl.done").read_text().splitlines() if '"done"' in line]
    assert len(done) == 4


# --- in this process -------------------------------------------------------------------------------------------------


def watched(invoke, code=0):
    result = invoke(*LINE, "--time-limit", PATIENCE)
    assert result.exit_code == code, result.stderr
    return result


def test_what_was_done_is_remembered_wherever_the_results_are(invoke, jobs, quick):
    drop("a.png")
    assert watched(invoke).stdout == "out/a.png\n"
    shutil.move("out/a.png", "mine.png")
    again = watched(invoke)
    assert again.stdout == "" and "1 of 1 are done already" in again.stderr
    assert "1 done before" in again.stderr.splitlines()[-1]


def test_another_picture_of_the_same_name_takes_its_place(invoke, jobs, quick):
    drop("a.png")
    watched(invoke)
    drop("a.png", (24, 20))
    assert watched(invoke).stdout == "out/a.png\n" and Image.open("out/a.png").size == (24, 20)


def test_also_while_it_watches(invoke, jobs, quick, monkeypatch):
    drop("a.png")
    look, sizes = watch.Inbox.look, []

    def dropping(inbox, now, still_for):
        if Path("out/a.png").exists():
            sizes.append(Image.open("out/a.png").size)
            if len(sizes) == 1:
                drop("a.png", (24, 20))
        return look(inbox, now, still_for)

    monkeypatch.setattr(watch.Inbox, "look", dropping)
    assert watched(invoke).stdout == "out/a.png\nout/a.png\n"
    assert sizes[0] == (20, 16) and sizes[-1] == (24, 20)


def test_a_result_that_was_changed_since_is_kept(invoke, jobs, quick):
    drop("a.png")
    watched(invoke)
    photograph(Path("other.png"), (8, 8))
    Path("jobs.jsonl").write_text(Path("jobs.jsonl").read_text())
    from artcli.media import images

    images.save(Path("out/a.png"), images.from_tensor(images.to_tensor(images.load(Path("other.png")))),
                recipe={"command": "dream", "parameters": {}, "seed": 1})  # fmt: skip
    drop("a.png", (24, 20))
    failed = watched(invoke, code=1)
    assert "out/a.png" in failed.stderr and Image.open("out/a.png").size == (8, 8)


def test_a_dry_run_looks_once_and_writes_nothing(invoke, jobs):
    drop("a.png")
    result = invoke(*LINE, "--dry-run")
    assert result.exit_code == 0 and result.stdout == "out/a.png\n" and "dry run" in result.stderr
    assert sorted(path.name for path in jobs.iterdir()) == ["in", "jobs.jsonl", "out"]


def test_a_file_is_given_when_it_has_stopped_growing(folder):
    inbox = watch.Inbox(folder)
    path = folder / "a.png"
    path.write_bytes(b"1")
    assert inbox.look(10.0, 2.0) == []
    path.write_bytes(b"12")
    assert inbox.look(11.9, 2.0) == [] == inbox.look(13.0, 2.0)
    assert [found for found, _ in inbox.look(13.9, 2.0)] == [path]
    assert inbox.look(99.0, 2.0) == [], "once"
    path.write_bytes(b"123")
    assert inbox.look(100.0, 2.0) == []
    assert [stamp.size for _, stamp in inbox.look(102.0, 2.0)] == [3]


def test_what_is_no_picture_is_left_alone(folder):
    for name in ("a.txt", ".hidden.png", "b.png.part", "empty.png"):
        (folder / name).write_bytes(b"" if name == "empty.png" else b"1")
    (folder / "folder.png").mkdir()
    (folder / "b.JPG").write_bytes(b"1")
    (folder / "a.mp4").write_bytes(b"1")
    os.utime(folder / "b.JPG", (1, 1))
    assert [path.name for path, _ in watch.Inbox(folder).look(0.0, 0.0)] == ["b.JPG", "a.mp4"], "the oldest first"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('inputs = "photo.png"\nout = "out/"', "job 1 does not name {file}"),
        ('inputs = "{file}"', "job 1 needs an out: results have to go to another folder than in"),
        ('inputs = "{file}"\nout = "in/{file}.jpg"', "has out = 'in/dropped.jpg': results have to go to another"),
        ('inputs = "{file}"\nout = "out/../in"', "results have to go to another folder than in"),
        ('inputs = "{file}"\nout = "out/"\n[variables]\nfile = "b"', "give the variable another name"),
        ('inputs = "{file}"\nout = "out/"\nbrash = "flat"', "job 1: paint has no option 'brash'"),
    ],
)
def test_jobs_that_cannot_be_for_what_is_dropped(invoke, jobs, text, says):
    Path("jobs.toml").write_text(f'[[jobs]]\nverb = "paint"\n{text}')
    result = invoke("batch", "jobs.toml", "--watch", "in")
    assert result.exit_code == 2 and says in one_error_line(result.stderr)


def test_no_such_folder(invoke, jobs):
    result = invoke("batch", "jobs.jsonl", "--watch", "nowhere")
    assert result.exit_code == 2 and one_error_line(result.stderr) == "no folder nowhere"
