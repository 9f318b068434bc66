"""No two runs work on one output."""

import json
import os
import platform
import signal
import time
from pathlib import Path

import pytest

from artcli.errors import UsageError
from artcli.media import claims, files
from tests import warm
from tests.conftest import one_error_line, photograph
from tests.test_naming import CALLS

# Takes a name, says so, and waits to be ended.
OTHER = """
import sys, time
from pathlib import Path
from artcli.media import claims
claims.take([Path(name) for name in sys.argv[1:]], force=True)
print("taken", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(folder):
    """Start another process that takes names; it is killed at the end, and leaves its marks."""
    started = []

    def start(*names):
        process = warm.Process(names, code=OTHER, stdout=warm.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "taken\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def released(folder):
    yield folder
    claims.release()


def test_the_second_run_says_who_has_it(other, released):
    first = other("a.png", "b.png")
    with pytest.raises(UsageError, match=rf"b\.png is in work: process {first.pid} \(`artgen a\.png b\.png`\)"):
        claims.take([Path("c.png"), Path("b.png")], force=False)
    with pytest.raises(UsageError, match="in work"):
        claims.take([Path("B.png")], force=True)
    claims.take([Path("d.png")], force=False)
    claims.take([Path("d.png")], force=False)  # one's own


def test_what_a_killed_run_leaves_is_taken_over(other, released):
    first = other("a.png")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(list(released.iterdir())) == 1
    claims.take([Path("a.png")], force=False)
    claims.release()
    assert not list(released.iterdir())


def test_temporary_files_of_killed_runs_are_removed(other, released):
    """Of a process that is there, of another machine, and what is only named alike, stay."""
    killed, running = other("a.png"), other("b.png")
    killed.kill()
    killed.wait()
    (released / "out").mkdir()
    own = files.temporary(Path("out/x.png"))
    of = lambda pid: own.with_name(own.name.replace(str(os.getpid()), str(pid), 1))  # noqa: E731
    elsewhere = own.with_name(f".artgen-{killed.pid}-00000000-{'0' * 12}.png")
    kept = {own, of(running.pid), elsewhere, Path("out/.artgen-notes.txt"), Path("out/c.png")}
    for path in (*kept, of(killed.pid)):
        path.write_bytes(b"half")
    (released / of(killed.pid)).with_suffix("").write_bytes(b"half")
    claims.take([Path("out/d.png")], force=False)
    assert {*Path("out").iterdir()} == kept | {claims._mark(Path("out/d.png")).relative_to(released)}
    then = time.time() - 1e9  # by a process that had the number of this one before
    os.utime(own, (then, then))
    claims.take([Path("out/e.png")], force=False)
    assert not own.exists()


@pytest.mark.parametrize(
    "told, age, held",
    [
        ("", 0, True),
        ("", 60, False),
        ("[]", 60, False),
        ({"host": "elsewhere"}, 9999, True),
        ({"pid": 2**22 + 7}, 0, False),
        ({}, 0, True),
        ({}, -1e9, True),
        ({}, 1e9, False),  # younger than its mark: the number was given again
        ({"pid": os.getpid()}, 0, False),
    ],
)
def test_whether_a_mark_counts(released, told, age, held):
    mark = claims._mark(Path("a.png"))
    whole = {"pid": os.getppid(), "host": platform.node(), "command": "artgen paint"}
    mark.write_text(told if isinstance(told, str) else json.dumps(whole | told))
    then = time.time() - age
    os.utime(mark, (then, then))
    if held:
        with pytest.raises(UsageError, match=r"a\.png is in work"):
            claims.take([Path("a.png")], force=True)
    else:
        claims.take([Path("a.png")], force=True)


def test_what_exists_already_is_not_taken(other, released):
    photograph(released / "a.png")
    first = other("a.png")
    claims.take([Path("a.png"), Path("b.png")], force=False, skip_existing=True)
    assert claims._mark(Path("a.png")).exists()
    first.kill()
    first.wait()
    claims.take([Path("a.png")], force=False, skip_existing=True)
    assert not claims._mark(Path("a.png")).exists(), "nobody else will remove it"


def test_only_the_first_of_several_processes_takes(other, released, monkeypatch):
    other("a.png")
    monkeypatch.setenv("RANK", "1")
    claims.take([Path("a.png")], force=True)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_verb_refuses_what_another_run_has(invoke, other, folder, call):
    photograph(folder / "a.png")
    first = other("out.png")
    before = sorted(folder.iterdir())
    result = invoke(*call, "-o", "out.png", "--force")
    assert result.exit_code == 2
    assert f"out.png is in work: process {first.pid}" in one_error_line(result.stderr)
    assert sorted(folder.iterdir()) == before
    assert invoke(*call, "-o", "fine.png").exit_code in (2, 3)  # there is no such model
    assert sorted(folder.iterdir()) == before


def test_two_runs_a_moment_apart(folder, tiny_painter):
    photograph(folder / "photo.png", (200, 150))
    line = ["paint", "photo.png", "--model", tiny_painter, "-o", "out.png", "-q"]
    runs = [warm.Process(line, stdout=warm.PIPE, stderr=warm.PIPE, text=True) for _ in range(2)]
    said = {run.wait(): run.communicate() for run in runs}
    assert set(said) == {0, 2}, said
    assert said[0][0] == "out.png\n"
    assert "out.png is in work" in said[2][1] or "out.png exists" in said[2][1]
    assert sorted(path.name for path in folder.iterdir()) == ["out.png", "photo.png"]
