"""The report of a run: what it says, and that no run folder is too young, too long or too broken for it."""

import base64
import json
import math
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artcli.errors import ArtgenError, UsageError
from artcli.training import report

EVIL = "\"><img src=x onerror=window.pwned=1></script><script>window.pwned=1</script>'&amp;"
VOID = {"meta", "link", "img", "input"}


def make_run(run: Path, *, logs=20, grids=3, total=None, name="vae", side=64):
    """A run folder as the trainer writes it; the names in it try to be markup."""
    run.mkdir(parents=True)
    evil = json.dumps(EVIL)
    (run / "run.toml").write_text(
        f"""model = {json.dumps(name)}
preset = {evil}
seed = 3
version = "0.1.0"
command = "artgen train vae 'my data'"
[config]
size = 32
lr = 2e-4
widths = [8, 16]
[trainer]
steps = {total or logs * 10}
[data]
name = {evil}
pictures = 12345
classes = [{evil}, "b"]
layout = "class folders"
skipped = [{{name = {evil}, reason = "cut short"}}, {{name = "b.png", reason = "2 x 2 pixels"}}]
""",
        encoding="utf-8",
    )
    (run / "environment.json").write_text(json.dumps({"python": "3.11.7", "gpus": [], "platform": EVIL}))
    write_metrics(run, [row(number) for number in range(1, logs + 1)])
    for kind in ("samples", "reconstructions"):
        (run / kind).mkdir()
        for number in range(1, grids + 1):
            pixels = np.random.default_rng(number).integers(0, 255, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(run / kind / f"step-{number * 100:06d}.png")
    return run


def row(number, **changes):
    values = {
        "step": number * 10,
        "epoch": number / 10,
        "time": number * 2.0,
        "images_per_second": 800.0 + number % 7,
        "train": {"loss": 0.5 + math.exp(-number / 100), EVIL: 1.0},
        "rate": {"main": 2e-4},
    }
    if number % 2 == 0:
        values["val"] = {"loss": 0.6 + math.exp(-number / 100)}
    return values | changes


def write_metrics(run, rows, end=""):
    (run / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows) + end, encoding="utf-8")


class Reader(HTMLParser):
    """The page as a list of (tag, attributes) and its text, after making sure that every tag is closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.words, self.scripts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len({name for name, _ in attrs}), attrs
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"{tag} closed out of order"

    def handle_data(self, data):
        (self.scripts if self.open[-1:] in (["script"], ["style"]) else self.words).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def read(run):
    return Reader(report.write(run).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return read(make_run(tmp_path_factory.mktemp("usual") / "run", logs=40, grids=20, total=1000))


# --- what it says ----------------------------------------------------------------------------------------------------


def test_the_sections(usual):
    heads = usual.words[:]
    for words in ("Curves", "Samples", "Reconstructions", "Data", "Settings", "Commands", "Learning rate"):
        assert words in heads
    for words in (
        "Step 400 of 1,000: interrupted, or still running",
        "seed 3",
        "12,345",
        "2 files skipped",
        "2 x 2 pixels",
        "0.0002",
        "8, 16",
        "3.11.7",
        "artgen train vae 'my data'",
        "Time 1 min 20 s 4 epochs",
        "Best validation 1.27 at step 400",
    ):
        assert words in usual.text


def test_it_is_finished_when_all_steps_are_done(tmp_path):
    assert "Finished: 200 steps" in read(make_run(tmp_path / "run")).text


def test_the_command_to_sample_can_be_pasted(tmp_path):
    run = make_run(tmp_path / "it's my run")
    assert f"artgen sample '{tmp_path}/it'\"'\"'s my run' --out samples.png" in read(run).text


def test_curves_rates_and_speed_have_a_chart_each(usual):
    labels = [attributes["aria-label"] for attributes in usual.all("svg")]
    assert len({label.split(".")[0] for label in labels}) == 4
    assert any(
        label.startswith("Loss. Training: 1.49 at step 10, 1.17 at step 400, lowest 1.17 at step 400; Validation: ")
        for label in labels
    )


def test_the_loss_has_the_name_of_its_optimizer(tmp_path):
    """As the trainer writes it: the first number is the loss, and the held-out one is called so."""
    run = make_run(tmp_path / "run")
    write_metrics(run, [{"step": n, "train": {"vae": 5 / n, "kl": n}, "val": {"loss": 6 / n}} for n in range(1, 9)])
    page = read(run)
    assert "Loss Training Validation Best validation 0.75 at step 8. Linear Log" in page.text
    assert "Training loss 0.625 at step 8 Validation loss 0.75 at step 8 Best validation loss 0.75" in page.text
    assert {a["aria-label"].split(".")[0] for a in page.all("svg")} == {"Loss", "KL"}


def test_what_the_doctor_says_of_the_data_is_in_it(tmp_path):
    run = make_run(tmp_path / "run")
    text = (run / "run.toml").read_text().replace("[data]", "[data]\nnotes = ['3 grey <pictures>']")
    (run / "run.toml").write_text(text.replace("steps = ", "x = ").replace("seed", "steps = 500\nseed"))
    text = read(run).text
    assert "Data: 3 grey <pictures>" in text and "Step 200 of 500" in text


def test_every_picture_has_words_for_it(usual):
    pictures = [attributes for attributes in usual.all("img") if "src" in attributes]
    assert [p["alt"] for p in pictures if "reconstr" in p["alt"]][-1].startswith("Grid of reconstructions at step ")
    assert len(pictures) == 24 and all(p["width"] == p["height"] == "64" for p in pictures)
    steps = [int(a["data-step"].replace(",", "")) for a in usual.all("figure") if "data-step" in a][:12]
    assert steps[0] == 100 and steps[2] == 2000 and len(set(steps)) == 12


def test_the_pictures_are_the_pixels(tmp_path):
    run = make_run(tmp_path / "run", grids=1)
    found = next(a["src"] for a in read(run).all("img") if "src" in a)
    image = Image.open(BytesIO(base64.b64decode(found.partition(",")[2])))
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(run / "samples" / "step-000100.png")))


def test_nothing_comes_from_elsewhere(usual):
    assert not re.search(r"https?://|@import|url\(", " ".join(usual.scripts))
    for tag, attributes in usual.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    policy = next(a["content"] for a in usual.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_names_with_markup_stay_text(usual):
    assert usual.text.count(EVIL) >= 5
    assert len(usual.all("script")) == len(usual.all("figure")) - 24 + 1
    assert [a for a in usual.all("img") if "onerror" in a] == []


def test_ids_are_unique_and_labels_lead_somewhere(usual):
    ids = [attributes["id"] for _, attributes in usual.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    leading = [a[name] for _, a in usual.tags for name in ("for", "aria-labelledby") if name in a]
    assert leading and set(leading) <= set(ids)


def test_headings_go_down_one_by_one(usual):
    levels = [int(tag[1]) for tag, _ in usual.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_colours_are_legible():
    """Text 4.5 to 1 and curves 3 to 1 against what is behind them, in both schemes (WCAG 2)."""
    style = (Path(report.__file__).parent / "page.css").read_text(encoding="utf-8")
    schemes = [
        dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    ]
    assert len(schemes) == 2

    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one, other):
        low, high = sorted((light(one), light(other)))
        return (high + 0.05) / (low + 0.05)

    for scheme in schemes:
        for text in ("ink", "soft", "accent"):
            assert min(contrast(scheme[text], scheme[back]) for back in ("page", "card")) >= 4.5, text
        for word in ("good", "open"):
            assert contrast(scheme[word], scheme[f"{word}-back"]) >= 4.5, word
        assert all(contrast(scheme[f"s{n}"], scheme["card"]) >= 3 for n in range(6))


def test_what_the_watchdogs_say_is_in_it(tmp_path):
    run = make_run(tmp_path / "run")
    write_metrics(run, [row(n, train={"critic": 0.0, "generator": 5.0}) for n in range(1, 60)])
    text = read(run).text
    assert "Worth knowing Step 300: the critic loss has been about 0" in text
    assert "Adversaries Critic Generator" in text


# --- runs as they come -----------------------------------------------------------------------------------------------


def test_the_same_folder_gives_the_same_bytes(tmp_path):
    run = make_run(tmp_path / "run")
    first = report.write(run).read_bytes()
    assert report.write(run).read_bytes() == first
    assert sorted(p.name for p in run.glob("*.html")) == ["report.html"] and not list(run.glob(".artgen*"))


def test_a_run_that_has_just_started(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    assert "Just started" in read(run).text
    (run / "metrics.jsonl").write_text('{"step": 10, "tra')
    text = read(run).text
    assert "Just started" in text and "cannot be read" not in text
    (run / "metrics.jsonl").write_text('{"step": 10, "train": {"loss": 0.5}}\n{"step": 20, "tr')
    text = read(run).text
    assert "Step 10" in text and "Training loss 0.5 at step 10" in text


def test_no_such_run(tmp_path):
    with pytest.raises(UsageError, match="there is no run folder"):
        report.write(tmp_path / "none")


def test_a_full_disk_leaves_the_old_report(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    before = report.write(run).read_bytes()

    def full(*_, **__):
        raise OSError(28, "no space")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ArtgenError, match="no space left"):
        report.write(run)
    assert (run / "report.html").read_bytes() == before


def test_losses_that_are_not_finite(tmp_path):
    run = make_run(tmp_path / "run")
    rows = [row(n) for n in range(1, 30)]
    rows[9]["train"]["loss"], rows[12]["train"]["loss"], rows[13]["train"]["loss"] = math.nan, math.inf, 1e300
    rows[3]["train"]["kl"] = math.nan
    write_metrics(run, rows)
    page = read(run)
    assert "Training: 3 values not finite, first at step 100." in page.text
    assert "No finite values." in page.text
    curve = next(a["d"] for a in page.all("path") if a["class"] == "line s0")
    assert curve.count("M") == 3 and "nan" not in curve and "inf" not in curve


def test_a_run_that_went_on_counts_what_came_later(tmp_path):
    run = make_run(tmp_path / "run")
    rows = [row(n) for n in range(1, 11)] + [row(n, time=(n - 8) * 2.0, train={"loss": 0.25}) for n in range(9, 13)]
    write_metrics(run, rows)
    page = read(run)
    assert "Time 24 s" in page.text and "Training loss 0.25 at step 120" in page.text
    numbers = json.loads(next(s for s in page.scripts if s.startswith('{"last"')))
    assert [step for step, _ in numbers["series"][0]["points"]] == list(range(10, 130, 10))


def test_damaged_files_are_named_and_left_out(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "run.toml").write_text("model = [")
    (run / "environment.json").write_bytes(b"\xff\xfe\x00")
    write_metrics(run, [row(1), row(2)], end='garbage\n[1]\n{"step": true}\n{"step": -4}\n{"step": NaN}\n')
    (run / "samples" / "step-000100.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (run / "samples" / "step-000200.png").write_text("not a picture")
    (run / "samples" / "step-000250.png").mkdir()
    (run / "samples" / "notes.txt").write_text("x")
    (run / "samples" / "step-x.png").write_text("x")
    shutil.rmtree(run / "reconstructions")
    text = read(run).text
    for words in ("run.toml cannot be read", "environment.json cannot be read", "5 lines of metrics.jsonl cannot be"):
        assert words in text
    assert "step-000100.png is damaged" in text and "step-000250.png is a folder" in text and "Grid" not in text
    assert "Step 300" in text and "notes.txt" not in text


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["step", "train", "val", "rate", "epoch", "time", "images_per_second"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
            max_leaves=4,
        ),
    )
)
def test_no_metrics_break_it(tmp_path_factory, values):
    run = tmp_path_factory.mktemp("odd")
    (run / "run.toml").write_text("[data]\nclasses = {a = 3}\nskipped = 4\n[trainer]\nsteps = 'x'\n[config]\na = []\n")
    write_metrics(run, [{"step": 5, "train": {"loss": 1.0}}, {"step": 10} | values, {"step": 20} | values])
    read(run)


def test_a_long_run_stays_small(tmp_path):
    """A hundred thousand steps, eight metrics, many large grids of noise, which no picture format can pack."""
    run = make_run(tmp_path / "run", grids=13, side=480)
    ran = np.random.default_rng(0).normal(1, 0.1, (10_000, 8)).tolist()
    write_metrics(run, [row(n, train={f"m{i}": v for i, v in enumerate(r)}) for n, r in enumerate(ran, 1)])
    path = report.write(run)
    assert path.stat().st_size < 5_000_000
    page = Reader(path.read_text(encoding="utf-8"))
    numbers = [json.loads(script) for script in page.scripts if script.startswith('{"last"')]
    assert len(numbers) >= 10
    assert all(100 <= len(series["points"]) <= 1000 for one in numbers for series in one["series"])


def test_one_value_and_zeros_have_a_chart(tmp_path):
    run = make_run(tmp_path / "run")
    write_metrics(run, [{"step": 0, "train": {"loss": 0.0}, "images_per_second": 0}])
    assert any(a["class"] == "line s0" and a["d"].endswith("h0") for a in read(run).all("path") if "class" in a)
