"""`artgen batch`: jobs of any verbs, what is left of them after a stop, and every way to write them wrongly."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from artcli.commands.batch import jobs, sheet
from artcli.commands.shared import call
from artcli.errors import ArtgenError, Interrupted, UsageError
from artcli.media import record
from artcli.media import strokes as stroke_files
from artcli.media.brushes import Brush
from artcli.media.strokes import Painting, Strokes
from tests import test_cyclegan_run, tiny, warm
from tests.conftest import one_error_line, photograph, snapshot

tiny_translator = test_cyclegan_run.tiny_translator


@pytest.fixture
def strokes(folder):
    """strokes.json, the cheapest there is to paint."""
    one = Strokes.make(np.array([[8, 6, 10, 4, 0.1]]), np.array([[0.9, 0.2, 0.1]]), np.zeros(1), np.ones(1), np.ones(1))
    stroke_files.save(folder / "strokes.json", Painting((16, 12), one, Brush.find("flat"), (1.0, 1.0, 1.0)))
    return folder / "strokes.json"


def written(*found, name="jobs.jsonl"):
    """A file with these jobs, a line each."""
    Path(name).write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in found))
    return name


def paints(count, **more):
    return [{"verb": "paint", "inputs": "strokes.json", "out": f"p{number}.png", **more} for number in range(count)]


def tasks(text, settings=None):
    Path("jobs.toml").write_text(text)
    return jobs.expand(sheet.read("jobs.toml"), settings or {})


def asked(found):
    """What requests are made of: number, defaults and values together."""
    return [(task.number, {**task.defaults, **task.values}) for task in found]


# --- how jobs are written --------------------------------------------------------------------------------------------


def test_lists_ranges_and_variables_are_gone_through(folder):
    found = tasks("""
        [variables]
        color = ["red", "blue"]
        unused = [1, 2, 3]
        [[jobs]]
        verb = "dream"
        prompt = ["{color} car", "a {{house}}"]
        seed = "3-4"
        out = "{prompt}.png"
    """)
    assert [task.number for task in found] == [f"1.{number}" for number in range(1, 7)]
    assert [task.values["prompt"] for task in found] == ["red car", "blue car"] * 2 + ["a {house}"] * 2
    assert found[0].values == {"prompt": "red car", "seed": 3, "out": "red-car.png"} and found[2].mark == "4"


def test_what_several_calls_have_in_common(folder):
    found = tasks(
        """
        [defaults]
        device = "cpu"
        strength = 0.5
        [defaults.dream]
        best-of = 2
        [[jobs]]
        verb = "dream"
        prompt = "a"
        seed = 1
        [[jobs]]
        verb = "cyclegan"
        inputs = "photo.png"
        keep-color = true
        [[jobs]]
        verb = "sample"
        run = "run"
        seed = "0-3"
        prompt = ["one sheet", "of two"]
    """,
        {"dream": {"steps": 9, "device": "cuda", "quiet": True}},
    )
    assert asked(found) == [
        ("1", {"steps": 9, "device": "cpu", "best_of": 2, "prompt": "a", "seed": 1}),
        ("2", {"device": "cpu", "strength": 0.5, "inputs": "photo.png", "keep_color": True}),
        ("3", {"device": "cpu", "run": "run", "seed": "0-3", "prompts": ["one sheet", "of two"]}),
    ]


def test_a_dream_without_a_seed_has_one_that_stays(folder):
    text = '[[jobs]]\nverb = "dream"\nprompt = ["a", "b"]'
    first, second = tasks(text)
    assert first.values["seed"] != second.values["seed"]
    assert [task.key for task in tasks(text)] == [first.key, second.key]


def test_a_record_and_a_settings_file_have_their_own_seed(folder):
    text = '[[jobs]]\nverb = "dream"\n'
    assert "seed" not in tasks(f'{text}from = "a.png"')[0].values
    assert "seed" not in tasks(f'{text}prompt = "a"', {"dream": {"seed": "7"}})[0].values


def test_the_same_job_twice(folder):
    text = '[[jobs]]\nverb = "dream"\nprompt = ["a", "b", "a"]\n'
    assert [task.problem[:26] for task in tasks(text)] == ["", "", "it is the same as job 1.1:"]


def test_only_a_line_feed_ends_a_line_of_json(folder):
    prompt = "two\u2028lines\x85in one"
    Path("jobs.jsonl").write_text(json.dumps({"verb": "dream", "prompt": prompt}, ensure_ascii=False), "utf-8-sig")
    (task,) = jobs.expand(sheet.read("jobs.jsonl"), {})
    assert task.values["prompt"] == prompt


@pytest.mark.parametrize(
    "out, mark",
    [
        (None, "3"),
        ("drawn/", "3"),
        ("drawn/*.jpg", "3"),
        ("a.png", "red-3"),
        ("{prompt}.png", "3"),
        ("{seed}.png", "red"),
    ],
)
def test_names_tell_the_jobs_of_a_list_apart(folder, out, mark):
    named = "" if out is None else f'out = "{out}"'
    found = tasks(f'[[jobs]]\nverb = "dream"\nprompt = ["red", "blue"]\nseed = "3-4"\n{named}')
    assert found[0].mark == mark


@pytest.mark.parametrize(
    "job, line",
    [
        ('prompt = "a"', 'no verb: write verb = "dream"'),
        ('verb = "draem"', "verb 'draem' is not known; there are: cyclegan, .* Did you mean 'dream'?"),
        ('verb = "dream"\nstepz = 3', "dream has no option 'stepz'. Did you mean 'steps'?"),
        ('verb = "dream"\nquiet = true', "quiet is for the whole batch: artgen batch --quiet"),
        ('verb = "dream"\nprompt = []', "prompt = .* is an empty list"),
        ('verb = "dream"\nprompt = "{colour} car"', "names {colour}, which is neither a variable nor an option"),
        ('verb = "dream"\nprompt = "a"\nseed = "4-2"', "--seed '4-2' has to go up"),
        ('verb = "dream"\nprompt = "a"\nlr = [1, 2]\nseed = "0-9999"', "stands for more than 10000 jobs"),
        ('verb = "dream"\nprompt = "a"\nout = "-"', "out = '-': the jobs of a batch read and write files"),
        ('verb = "dream"\nprompt = "a"\ninit = "-"', "init = '-': the jobs of a batch read and write files"),
        ('verb = "dream"\nvariables = 3', "variables is a table"),
    ],
)
def test_what_is_wrong_with_a_job_is_known_at_once(folder, job, line):
    found = tasks(f'[[jobs]]\nverb = "paint"\ninputs = "a.jpg"\n[[jobs]]\n{job}')
    assert [bool(task.problem) for task in found] == [False, True]
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(found[1].problem)


@pytest.mark.parametrize(
    "text, line",
    [
        ("", "jobs.toml has no jobs: write"),
        ("[[jobs]", "jobs.toml cannot be read"),
        ("[[job]]", "has no part 'job'.* Did you mean 'jobs'?"),
        ("[jobs]\na = 1", "two brackets"),
        ("[defaults]\nstepz = 1", "'stepz', which no verb has. Did you mean 'steps'?"),
        ("[defaults.dream]\nstrokes = 1", "dream has no option 'strokes'"),
        ("defaults = 1", "defaults is a table"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole(invoke, folder, text, line):
    Path("jobs.toml").write_text(text)
    result = invoke("batch", "jobs.toml")
    assert result.exit_code == 2 and not Path("jobs.toml.done").exists()
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(one_error_line(result.stderr))


def test_there_is_no_such_file(invoke, folder):
    Path("jobs.toml").touch()
    assert "no file job.toml. Did you mean 'jobs.toml'?" in one_error_line(invoke("batch", "job.toml").stderr)


@pytest.mark.parametrize(
    "values, line",
    [
        ({"steps": 2.5}, "steps = 2.5 has to be a whole number"),
        ({"steps": True}, "steps = true has to be a text or a number"),
        ({"steps": "many"}, "Invalid value for '--steps'"),
        ({"steps": {"a": 1}}, 'steps = {"a": 1} has to be a text or a number'),
        ({"tileable": 3}, "tileable = 3 has to be true or false"),
        ({"steps": [1, 2]}, "steps takes one value, not a list"),
        ({"image_prompt": [["a"]]}, r'image_prompt = \["a"\] has to be'),
    ],
)
def test_values_of_a_wrong_kind(folder, values, line):
    with pytest.raises(UsageError, match=line):
        call.request_of("dream").from_values({"prompt": "a", **values})


def test_defaults_count_as_those_of_a_settings_file(folder):
    made = call.request_of("dream").from_values({"prompt": "a", "steps": 3}, {"steps": 9, "size": 64})
    assert made.settings.steps == 3 and made.size == (64, 64)


# --- the work --------------------------------------------------------------------------------------------------------


def test_twenty_jobs_of_which_three_are_broken(artgen, strokes, tiny_translator, tiny_clip):
    """With the real executable; the second time there is nothing to do but to fail three times."""
    photograph(Path("photo.png"), (20, 16))
    Path("bad.png").write_bytes(b"no picture")
    carried = [
        {"verb": "cyclegan", "model": str(tiny_translator), "inputs": "photo.png", "out": f"c{number}.png"}
        for number in range(3)
    ]
    drawn = {
        "verb": "dream", "prompt": ["red car", "a barn"], "clip": str(tiny_clip), "drawer": "fft", "size": 32,
        "steps": 2, "cutouts": 4, "prior": "none", "preview": False,
    }  # fmt: skip
    broken = [
        {"verb": "paint", "inputs": "strokes.json", "brash": "flat"},
        {"verb": "cyclegan", "model": str(tiny_translator), "inputs": "bad.png"},
        {"verb": "paint", "inputs": "nowhere.json"},
    ]
    file = written(
        *broken[:1],
        *paints(10),
        *broken[1:2],
        *carried,
        *broken[2:],
        drawn,
        *paints(2, out="{inputs}.png", size=[20, 24])[:1],
    )
    code, out, err = artgen("batch", file, "-q", "--json", timeout=400)
    lines = [json.loads(line) for line in out.splitlines()]
    results = [line for line in lines if line["paths"]]
    assert len(results) == 17 and all(Path(path).exists() for line in results for path in line["paths"])
    assert {"paths": [], "done": 17, "skipped": 0, "failed": 3, "left": 0} in lines
    assert {line["job"] for line in results} == {*map(str, (*range(2, 12), 13, 14, 15)), "17.1", "17.2", "18.1", "18.2"}
    errors = err.splitlines()
    assert code == 1 and len(errors) == 4, err
    assert "error: job 1: paint has no option 'brash'. Did you mean 'brush'?" in errors
    assert any(line.startswith("error: job 12: ") and "bad.png" in line for line in errors)
    assert any(line.startswith("error: job 16: no file nowhere.json") for line in errors)
    assert errors[-1] == "error: 3 of 20 jobs failed (1, 12, 16): 17 done, 3 failed"
    before = snapshot(Path())
    code, out, err = artgen("batch", file)
    assert (code, out) == (1, "") and "batch: 17 of 20 are done already" in err
    assert {k: v for k, v in snapshot(Path()).items() if v != before.get(k)}.keys() <= {f"{file}.done"}


def test_killed_in_the_middle_it_does_what_is_left(artgen, strokes):
    """The first photo is slow enough to be seen, and is not touched again."""
    file = written(*paints(12, gif=True))
    with warm.Process(["batch", file], stdout=warm.PIPE) as first:
        seen = [first.stdout.readline() for _ in range(5)]
        first.send_signal(signal.SIGKILL)
    assert seen[-1]
    done = [json.loads(line) for line in Path(f"{file}.done").read_text().splitlines() if '"done"' in line]
    assert 0 < len(done) < 12
    times = {name: Path(name).stat().st_mtime_ns for entry in done for name in entry["outputs"]}
    code, _, err = artgen("batch", file)
    assert code == 0, err
    assert f"{len(done)} of 12 are done already" in err and f"{12 - len(done)} done" in err.splitlines()[-1]
    assert times == {name: Path(name).stat().st_mtime_ns for name in times}
    assert all(Path(f"p{number}.{kind}").exists() for number in range(12) for kind in ("png", "gif"))
    assert not [path for path in Path().glob(".artgen-*")], "locks of the killed one are gone as well"


def test_two_at_once_do_not_collide(artgen, strokes):
    file = written(*paints(8, gif=True))
    started = [warm.Process(["batch", file, "-q"], stdout=warm.PIPE, stderr=warm.PIPE, text=True) for _ in range(2)]
    said = [(*process.communicate(), process.returncode) for process in started]
    assert sum(len(out.splitlines()) for out, _, _ in said) == 16, said
    for out, err, code in said:
        assert code == 0 or (out == "" and "is running already; wait until it is done" in one_error_line(err))


def test_while_one_runs_another_says_so(invoke, strokes):
    from filelock import FileLock

    file = written(*paints(1))
    with FileLock(f".{file}.done.lock"):
        result = invoke("batch", file)
        assert result.exit_code == 2
        assert one_error_line(result.stderr) == f"a batch of {file} is running already; wait until it is done"
        assert invoke("batch", file, "--dry-run").exit_code == 0
    assert invoke("batch", file).exit_code == 0


def test_what_a_killed_one_had_written_is_taken_and_what_others_have_is_not(invoke, strokes):
    file = written(*paints(2, svg=True))
    Path("p0.png").write_bytes(b"of the user")
    result = invoke("batch", file)
    assert result.exit_code == 1 and "error: job 1: p0.png exists" in result.stderr
    assert Path("p0.png").read_bytes() == b"of the user"
    log = Path(f"{file}.done")
    lines = log.read_text().splitlines()
    log.write_text("\n".join(line for line in lines if '"done"' not in line) + '\n{"key": "half a li')
    Path("p1.svg").unlink()
    Path("p0.png").unlink()
    assert invoke("batch", file).exit_code == 0
    assert all(Path(name).exists() for name in ("p0.png", "p0.svg", "p1.png", "p1.svg"))


def test_a_result_that_is_gone_or_of_another_recipe(invoke, strokes, tiny_painter):
    photograph(Path("photo.png"), (24, 20))
    job = {"verb": "paint", "inputs": "photo.png", "model": str(tiny_painter), "out": "a.png"}
    file = written(job)
    assert invoke("batch", file).exit_code == 0
    whole = Path("a.png").read_bytes()
    Path("a.png").unlink()
    assert "1 done" in invoke("batch", file).stderr and Path("a.png").read_bytes() == whole
    assert invoke("paint", "photo.png", "--model", tiny_painter, "--size", 40, "-o", "a.png", "-f").exit_code == 0
    result = invoke("batch", file)
    assert result.exit_code == 1 and "error: job 1: a.png exists" in result.stderr
    assert invoke("batch", file, "--force").exit_code == 0 and Path("a.png").read_bytes() == whole


def test_of_a_job_that_failed_in_part_the_rest_is_done(invoke, strokes):
    Path("other.json").write_text("{}")
    file = written({"verb": "paint", "inputs": ["strokes.json", "other.json"], "out": "made/"})
    assert invoke("batch", file).exit_code == 1
    (first,) = [path.stat().st_mtime_ns for path in Path("made").iterdir()]
    Path("other.json").write_bytes(strokes.read_bytes())
    result = invoke("batch", file)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in Path("made").iterdir()) == ["other-painted.png", "strokes-painted.png"]
    assert Path("made/strokes-painted.png").stat().st_mtime_ns == first


def test_no_job_replaces_the_result_of_another(invoke, strokes):
    file = written(*paints(1), *paints(1, svg=True))
    for more in ((), ("--force",), ("--dry-run",), ()):
        result = invoke("batch", file, *more)
        assert result.exit_code == 1 and not Path("p0.svg").exists()
        assert "error: job 2: p0.png is the result of job 1: give each an out of its own" in result.stderr
    assert invoke("batch", written(*paints(1), *paints(1, svg=True, force=True))).exit_code == 0


def test_a_half_picture_that_somebody_has_changed_is_left_alone(invoke, strokes, monkeypatch):
    def half(request, console):
        Path("p0.png").write_bytes(b"half")
        console.result(["p0.png"], finished=False)
        raise Interrupted("stopped")

    real = call.carry_out
    monkeypatch.setattr(call, "carry_out", half)
    file = written(*paints(1))
    assert invoke("batch", file).exit_code == 130
    monkeypatch.setattr(call, "carry_out", real)
    Path("p0.png").write_bytes(b"made whole by hand")
    result = invoke("batch", file)
    assert result.exit_code == 1 and "error: job 1: p0.png exists" in result.stderr
    assert Path("p0.png").read_bytes() == b"made whole by hand"
    Path("p0.png").write_bytes(b"half")
    assert invoke("batch", file).exit_code == 0 and Path("p0.png").read_bytes()[1:4] == b"PNG"


def test_what_stopped_goes_on_after_a_failure_in_between(invoke, strokes, monkeypatch):
    def failing(error):
        def carry_out(request, console):
            raise error

        return carry_out

    file, real = written(*paints(1)), call.carry_out
    for error in (Interrupted("by the user"), ArtgenError("the disk is full")):
        monkeypatch.setattr(call, "carry_out", failing(error))
        assert invoke("batch", file).exit_code == error.exit_code
    seen = []
    monkeypatch.setattr(call, "carry_out", lambda request, console: seen.append(request) or real(request, console))
    assert invoke("batch", file).exit_code == 0 and seen[0].options.skip_existing


def test_names_that_are_no_text(invoke, strokes):
    """A file's name may hold any bytes, and a sign that ends lines elsewhere."""
    for name in (os.fsdecode(b"caf\xe9.json"), "two\u2028lines.json"):
        Path(name).write_bytes(strokes.read_bytes())
        file = written({"verb": "paint", "inputs": name, "out": "made/"})
        for told in ("1 done", "1 of 1 are done already"):
            result = invoke("batch", file, "--json")
            assert result.exit_code == 0 and told in result.stderr, result.stderr


def test_a_log_that_is_none(invoke, strokes):
    file, before = written(*paints(1)), strokes.read_bytes()
    result = invoke("batch", file, "--log", "strokes.json")
    assert result.exit_code == 2 and strokes.read_bytes() == before
    assert one_error_line(result.stderr) == "strokes.json is not the log of a batch: give --log another name"


def test_a_training_with_a_time_limit_of_its_own_goes_on(invoke, folder, monkeypatch):
    from artcli.training.clock import Clock

    tiny.write_pictures(Path("photos"))
    job = {
        "verb": "train", "model": "autoencoder", "data": "photos", "out": "run", "steps": 2,
        "settings": tiny.flags("autoencoder")[1::2],
    }  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(Clock, "last_step", lambda *_, **__: True)
        first = invoke("batch", written({**job, "time_limit": "1h"}))
        assert first.exit_code == 0 and "0 done, 1 left" in first.stderr.splitlines()[-1], first.stderr
    again = invoke("batch", written(job))
    assert again.exit_code == 0 and "going on at step 1" in again.stderr, again.stderr
    assert "1 of 1 are done already" in invoke("batch", written(job)).stderr


def test_a_dream_goes_on_where_it_stopped(invoke, folder, tiny_clip):
    job = {
        "verb": "dream", "prompt": "red car", "seed": 1, "clip": str(tiny_clip), "drawer": "fft", "size": 32,
        "steps": 5, "cutouts": 4, "prior": "none", "preview": False,
    }  # fmt: skip
    invoke("batch", written({**job, "out": "whole.png"}))
    first = invoke("batch", written({**job, "out": "a.png", "time_limit": "0.001s"}))
    assert first.exit_code == 0 and "0 done, 1 left" in first.stderr.splitlines()[-1]
    assert Path("a.png.resume").is_dir()
    again = invoke("batch", written({**job, "out": "a.png"}))
    assert again.exit_code == 0 and "going on from step 1" in again.stderr
    assert not Path("a.png.resume").exists()
    assert record.read(Path("a.png"))["parameters"] == record.read(Path("whole.png"))["parameters"]
    assert Path("a.png").read_bytes() == Path("whole.png").read_bytes()


@pytest.mark.parametrize("deaf", [False, True], ids=["", "in the background of a shell"])
def test_the_time_limit_stops_the_job_in_work(invoke, strokes, monkeypatch, deaf):
    real, seen = call.carry_out, []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if deaf else signal.default_int_handler)

    def slow(request, console):
        seen.append(request)
        if len(seen) == 2:
            for _ in range(3000):
                time.sleep(0.01)
        real(request, console)

    monkeypatch.setattr(call, "carry_out", slow)
    file = written(*paints(3))
    try:
        result = invoke("batch", file, "--time-limit", "0.5s")
        assert signal.getsignal(signal.SIGINT) == (signal.SIG_IGN if deaf else signal.default_int_handler)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 0, result.stderr
    assert "the time limit is reached; the same line goes on" in result.stderr
    assert "1 done, 2 left" in result.stderr.splitlines()[-1] and len(seen) == 2
    monkeypatch.setattr(call, "carry_out", real)
    assert "2 done, 1 done before" in invoke("batch", file).stderr


def test_an_error_that_nobody_expects_stops_one_job(invoke, strokes, monkeypatch):
    real = call.carry_out

    def odd(request, console):
        if str(request.options.out) == "p0.png":
            raise ZeroDivisionError("of course")
        real(request, console)

    monkeypatch.setattr(call, "carry_out", odd)
    result = invoke("batch", written(*paints(2)))
    assert result.exit_code == 1 and Path("p1.png").exists() and "Traceback" in result.stderr
    assert "error: job 1: unexpected ZeroDivisionError: of course" in result.stderr


def test_interrupted_says_what_is_left(invoke, strokes, monkeypatch):
    monkeypatch.setattr(call, "carry_out", lambda *_: os.kill(os.getpid(), signal.SIGINT) or time.sleep(1))
    result = invoke("batch", written(*paints(2)))
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "error: interrupted in job 1; 0 done, 2 left"


def test_lines_from_standard_input(invoke, strokes):
    lines = ['{"defaults": {"out": "made/"}}', "", '{"verb": "paint", "inputs": "strokes.json"}', "{", "[1]"]
    result = invoke("batch", "-", input="\n".join(lines))
    assert Path("made/strokes-painted.png").exists() and result.exit_code == 1
    assert "error: job 2: line 4 is no JSON: " in result.stderr
    assert "error: job 3: line 5 is no JSON object" in result.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["made", "strokes.json"]
    again = invoke("batch", "-", "--log", "log", input=lines[2])
    assert again.exit_code == 0 and "1 done already" not in again.stderr
    assert "1 of 1 are done already" in invoke("batch", "-", "--log", "log", input=lines[2]).stderr


def test_a_dry_run_writes_nothing(invoke, strokes):
    file = written(*paints(1, out="made/"), *paints(1, out="drawn/"))
    before = snapshot(Path())
    result = invoke("batch", file, "--dry-run")
    assert result.exit_code == 0 and result.stdout == "made/strokes-painted.png\ndrawn/strokes-painted.png\n"
    assert snapshot(Path()) == before
    *each, told = map(json.loads, invoke("batch", file, "--dry-run", "--json", "-q").stdout.splitlines())
    assert told["foreseen"] == 2 and told["seconds"] == pytest.approx(sum(one["seconds"] for one in each), abs=0.11)
    assert " for 2 of 2 jobs, one after another" in result.stderr


def test_processes_of_one_start_share_the_jobs(invoke, strokes, monkeypatch):
    """Each job is one process's as a whole, also where it has several results."""
    Path("other.json").write_bytes(strokes.read_bytes())
    file = written(*[{**job, "inputs": ["strokes.json", "other.json"], "out": job["out"][:2]} for job in paints(3)])
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, folders in {"1": ["p1"], "0": ["p0", "p1", "p2"]}.items():
        monkeypatch.setenv("RANK", rank)
        assert invoke("batch", file).exit_code == 0
        assert sorted(str(path) for path in Path().iterdir() if path.is_dir()) == folders
    assert all(len(list(Path(name).iterdir())) == 2 for name in ("p0", "p1", "p2"))


def test_a_job_can_take_what_another_made(invoke, strokes):
    again = {"verb": "paint", "from": "p0.png", "inputs": "strokes.json", "out": "again.png"}
    result = invoke("batch", written(*paints(1), {"verb": "paint", "inputs": "nothing.json"}, again))
    assert result.exit_code == 1 and "carries no artgen recipe" in result.stderr
    assert "error: job 2: no file nothing.json" in result.stderr
