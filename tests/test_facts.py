"""What is known of pictures, from tables and colours: read, learned, told to GANs, and asked for in samples."""

import csv
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artcli.commands.sample import steer
from artcli.errors import UsageError
from artcli.nn.facts import Facts
from artcli.training import colors, columns, runs
from artcli.training.columns import Column
from artcli.training.data import table
from tests import tiny
from tests.batches import assert_learns, batch, pictures, seeded, train_step
from tests.conftest import one_error_line
from tests.test_gan import plain

quick = settings(deadline=None, max_examples=30)
GANS = ("gan", "dcgan", "wgan-gp", "stylegan")
NAMES = [f"{number:03}.png" for number in range(24)]
word = st.text("abc ,;\"'é=\n", min_size=1, max_size=6).map(str.strip).filter(bool)


def write_table(path, names=NAMES, **changes):
    """Styles in turn, years from 1880 on."""
    rows = [
        {"file": name, "style": ("cubist", "old")[n % 2], "year": 1880 + n} | changes for n, name in enumerate(names)
    ]
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return path


# --- tables ----------------------------------------------------------------------------------------------------------


@quick
@given(rows=st.lists(st.tuples(word, word), min_size=1, max_size=8), delimiter=st.sampled_from(",;\t|"))
def test_what_was_written_is_read(tmp_path_factory, rows, delimiter):
    """Whatever is in a cell: CSV quotes it, JSON escapes it."""
    names = [f"{number}.png" for number in range(len(rows))]
    wanted = {name: {"artist": one, "style": two} for name, (one, two) in zip(names, rows, strict=True)}
    folder, out = tmp_path_factory.mktemp("tables"), io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([("file", "artist", "style"), *((n, *row) for n, row in zip(names, rows, strict=True))])
    (folder / "a.csv").write_bytes(out.getvalue().encode("utf-8-sig"))
    (folder / "a.jsonl").write_text(
        "\n".join(json.dumps({"file": name, **cells}) for name, cells in wanted.items()), encoding="utf-8"
    )
    for file in ("a.csv", "a.jsonl"):
        assert table.read(folder / file, names) == (("artist", "style"), wanted, [])


@pytest.mark.parametrize("called", ["a/x.png", "a\\x.png", "./a/x.png", "x.png", "x", "a/x"])
def test_pictures_may_be_named_in_short(tmp_path, called):
    (tmp_path / "t.csv").write_text(f"year,what\n1890,{called}\n")
    found = table.read(tmp_path / "t.csv", ["a/x.png", "b/y.png"])
    assert found.columns == ("year",) and found.cells == {"a/x.png": {"year": "1890"}}
    assert found.notes == ["Without a line in t.csv: 1 picture, learned from as unknown."]


def test_a_name_of_two_pictures_names_none(tmp_path):
    (tmp_path / "t.csv").write_text("file,year\nx.png,1890\na/y.png,1891\n")
    found = table.read(tmp_path / "t.csv", ["a/x.png", "b/x.png", "a/y.png"])
    assert list(found.cells) == ["a/y.png"]
    assert found.notes[1] == "t.csv has lines of 1 picture that are not there: x.png."


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("t.csv", "file,year\nx.png,1890\n", "names none of the pictures: its first line begins with 'x.png', they are"
         " called 000.png, 001.png, 002.png, 003.png, ..."),
        ("t.csv", "file,year\n", "has no lines below the names of its columns"),
        ("t.csv", "", "has no lines below"),
        ("t.csv", "file,year\n000.png,1,2\n", "line 2, has 3 cells for 2 columns"),
        ("t.csv", "file,year,year\n000.png,1,2\n", "has two columns called 'year'"),
        ("t.csv", "file\n000.png\n", "has the names of pictures and nothing about them"),
        ("t.csv", 'file,year\n000.png,"1\n', "cannot be read"),
        ("t.jsonl", '{"file": "000.png", "year": 1}\n{"file": ', "line 2, is no JSON"),
        ("t.jsonl", '{"file": "000.png"}\n7', "line 2, has to be an object"),
        ("t.jsonl", '{"file": "000.png", "tags": ["a"]}', "line 1: tags has to be a word or a number"),
    ],
)  # fmt: skip
def test_tables_of_no_use(tmp_path, name, content, line):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError) as raised:
        table.read(tmp_path / name, NAMES)
    assert line in str(raised.value) and str(tmp_path / name) in str(raised.value)


def test_a_table_that_is_no_text(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"file,year\n\xff\xfe,1\n")
    with pytest.raises(UsageError, match="no text in UTF-8"):
        table.read(tmp_path / "t.csv", NAMES)


# --- columns ---------------------------------------------------------------------------------------------------------


@quick
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30).filter(lambda each: len(set(map(str, each))) > 1))
def test_numbers_become_standard(numbers):
    (column,), notes = columns.learn(["n"], [{"n": str(number)} for number in numbers])
    assert not notes and column.width == 1 and (column.low, column.high) == (min(numbers), max(numbers))
    made = np.array([column.at(number)[1] for number in numbers])
    if column.deviation > 1e-3:
        assert abs(made.mean()) < 1e-6 and abs(made.std() - 1) < 1e-6
    assert Column.from_dict(json.loads(json.dumps(column.as_dict()))) == column
    assert all(column.low <= column.within(number) <= column.high for number in (-1e9, 0.0, 1e9, *numbers))


def test_words_are_one_of_several_and_useless_columns_are_left_out():
    cells = [{"style": "ab"[n % 2], "title": f"t{n}", "same": "x", "empty": ""} for n in range(10)]
    found, notes = columns.learn(["style", "title", "same", "empty"], cells)
    assert [each.words for each in found] == [("a", "b")] and [found[0].at(w) for w in "ab"] == [(0, 1.0), (1, 1.0)]
    assert notes == [
        "Left out, the column title: it has 10 words for 10 pictures, too many to learn what they mean.",
        "Left out, the column same: it says the same of all pictures.",
        "Left out, the column empty: it is empty.",
    ]


KNOWN = (Column("style", ("cubist", "old")), Column("year", (), 1890.0, 10.0, 1870.0, 1905.0))


def test_a_wish_says_nothing_of_other_columns():
    found = columns.wish(KNOWN, {"year": "1900"})
    assert np.isnan(found.inputs[:2]).all() and found.inputs[2] == 1.0 and not found.warnings
    assert columns.wish(KNOWN, {"style": "old"}).inputs[:2] == [0.0, 1.0]
    (line,) = columns.wish(KNOWN, {"year": "2000"}).warnings
    assert line == "--where year=2000 lies outside the training pictures, 1870 to 1905: the model can only guess"


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ({"stile": "old"}, "--where stile: no such column; there are: style, year. Did you mean 'style'?"),
        ({"style": "cubism"}, "--where style=cubism: not known; there are: cubist, old. Did you mean 'cubist'?"),
        ({"year": "old"}, "--where year=old: year is a number, 1870 to 1905 in training"),
        ({"year": "nan"}, "--where year=nan: year is a number"),
    ],
)
def test_a_wish_that_cannot_be(wanted, line):
    with pytest.raises(UsageError) as raised:
        columns.wish(KNOWN, wanted)
    assert line in str(raised.value)


@pytest.mark.parametrize("text", ["style", "=old", "style=", ""])
def test_a_wish_is_a_column_and_a_value(text):
    with pytest.raises(UsageError, match="has to be COLUMN=VALUE"):
        steer.read([text], [])


def test_one_column_may_have_several_values():
    wanted = steer.read(["style=old", "style=cubist", "style=old", "year=1890"], [])
    assert steer.varied(wanted) == ("old", "cubist")
    assert steer.alone(wanted, "cubist") == {"where": ["style=cubist", "year=1890"]}
    found = steer.steering(KNOWN, wanted).inputs
    assert found == {"old": [0.0, 1.0, 0.0], "cubist": [1.0, 0.0, 0.0]}
    with pytest.raises(UsageError, match="style and color have several values each"):
        steer.read(["style=old", "style=cubist"], ["red", "blue"])


# --- colours ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in colors.COLORS if "hue_sine" in colors.wanted(name)])
def test_words_of_colours_are_about_such_pictures(name):
    """The hue that a word asks for is one that `name_pixels` calls so."""
    said = colors.wanted(name)
    hue = math.degrees(math.atan2(said["hue_sine"], said["hue_cosine"])) % 360
    value, saturation = {"brown": (0.4, 0.8), "pink": (0.9, 0.5)}.get(name, (0.9, 0.9))
    rgb = Image.new("HSV", (4, 4), tuple(round(each * 255) for each in (hue / 360, saturation, value))).convert("RGB")
    pixels = torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None] / 255
    assert colors.COLORS[colors.name_pixels(pixels)[0, 0, 0]] == name
    sine, cosine, found, lightness = colors.content(pixels)[0].tolist()
    assert (sine, cosine) == pytest.approx((said["hue_sine"], said["hue_cosine"]), abs=0.1)
    assert found == pytest.approx(saturation, abs=0.02)
    assert lightness == pytest.approx(value * (1 - saturation / 2), abs=0.02)


def test_grey_pictures_have_no_hue():
    levels = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(3, 3, 4, 4)
    torch.testing.assert_close(colors.content(levels)[:, 3], torch.tensor([0.0, 0.5, 1.0]))
    assert colors.content(levels)[:, :3].abs().max() == 0


def test_a_colour_that_there_is_not():
    known = [Column(name, (), 0.0, 1.0, low, 1.0) for name, low in zip(columns.COLOR, (0.2, 0.2, 0, 0), strict=True)]
    assert not steer.steering(known, {"color": ("yellow",)}).warnings
    (line,) = steer.steering(known, {"color": ("blue",)}).warnings
    assert line.startswith("--color blue: hardly any training picture is")
    with pytest.raises(UsageError, match=r"--color 'bleu' is not known; there are: black.*Did you mean 'blue'"):
        steer.steering(known, {"color": ("bleu",)})
    with pytest.raises(UsageError, match="trained with --by-color; this one knows: style, year"):
        steer.steering(KNOWN, {"color": ("blue",)})


# --- what nobody named -----------------------------------------------------------------------------------------------


def filled():
    """Of a style each ten rows whose year depends on it."""
    net, styles = Facts(3), torch.arange(20) % 2
    years = styles * 2.0 - 1 + torch.linspace(0, 0.2, 20)
    net.fit(torch.stack((1.0 - styles, styles.float(), years), 1), torch.zeros(20).long())
    return net


@quick
@given(seeds=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=6), style=st.integers(0, 1))
def test_what_is_not_named_fits_what_is(seeds, style):
    net = filled()
    wanted = torch.tensor([[1.0 - style, style, math.nan]]).expand(len(seeds), -1)
    made = net(wanted, seeds)
    assert torch.equal(made[:, :2], wanted[:, :2]) and bool(((made[:, 2] > 0) == bool(style)).all())
    for place, seed in enumerate(seeds):
        assert torch.equal(net(wanted[:1], [seed])[0], made[place])
    rows = net(None, seeds)
    assert all((net.rows == row).all(1).any() for row in rows)
    usual = net.usual(wanted, len(seeds))
    assert torch.equal(usual, usual[:1].expand_as(usual)) and bool((usual[0, 2] > 0) == bool(style))


def test_seeds_draw_different_rows():
    drawn = filled()(None, range(50))
    assert len({tuple(row) for row in drawn.tolist()}) > 10


def test_what_is_not_named_is_of_the_class():
    """Class 0 is small and light, class 1 large and dark, of class 2 are no rows."""
    net, labels = Facts(2, classes=3), torch.arange(20) % 2
    large = labels * 2.0 - 1
    net.fit(torch.stack((large, -large), 1), labels)
    drawn = net(None, range(40), torch.tensor([0, 1, 2, 3] * 10)).unflatten(0, (10, 4))
    assert bool((drawn[:, 0] == torch.tensor([-1.0, 1.0])).all()) and bool((drawn[:, 1] == -drawn[:, 0]).all())
    assert all(set(drawn[:, label, 0].tolist()) == {-1.0, 1.0} for label in (2, 3))  # unknown: any
    wanted = torch.tensor([[0.9, math.nan], [-0.9, math.nan]])  # what is named stays
    assert torch.equal(net(wanted, [0, 1], torch.tensor([0, 1])), torch.tensor([[0.9, 1.0], [-0.9, -1.0]]))
    assert torch.equal(net.usual(wanted, 2, torch.tensor([0, 1])), net(wanted, [0, 1], torch.tensor([0, 1])))


def test_earlier_weights_do_not_say_of_which_classes_rows_are():
    old, net = filled(), Facts(3, classes=2)
    net.load_state_dict(old.state_dict())
    assert torch.equal(net.rows, old.rows) and torch.equal(net(None, [1, 2], torch.tensor([0, 1])), old(None, [1, 2]))


# --- models ----------------------------------------------------------------------------------------------------------


def made(name, facts=2, **changes):
    return seeded(lambda: tiny.backend(name).Model(tiny.config(name, **changes), 0, facts))


@pytest.mark.parametrize("name", GANS)
def test_facts_reach_pictures_and_judgements(name):
    model = made(name)
    facts = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    one, other = model.generate([5, 5], facts=facts)
    assert (one - other).abs().max() > 1e-4
    net = model.discriminator
    if name != "stylegan":
        net.meant.weight.data[:, 0] = 0.1  # it may begin without a difference
    images = pictures(1, model.config.size).repeat(2, 1, 1, 1) * 2 - 1
    judged = net(images, None, facts).flatten()
    assert (judged[0] - judged[1]).abs() > 1e-6
    whole = batch(pictures(8, model.config.size))
    told = {**vars(whole), "facts": torch.rand(8, 2, generator=torch.Generator().manual_seed(0))}
    for _, loss in model.train_step(type(whole)(**told)):
        loss.backward()
    embedded = model.generator.mapping.embed.weight if name == "stylegan" else net.meant.weight
    assert embedded.grad is not None and embedded.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["gan", "wgan-gp", "stylegan"])
def test_samples_have_the_colour_that_is_named(name):
    """Red and blue pictures: taught, `--color` draws either, as its words become facts."""
    size = tiny.config(name).size
    images = torch.cat([plain(12, size, channel) for channel in (0, 2)])
    content = colors.content(images).T.tolist()
    told = [columns.of_numbers(each, numbers) for each, numbers in zip(columns.COLOR, content, strict=True)]
    facts = torch.tensor([[c.at(n)[1] for c, n in zip(told, row, strict=True)] for row in zip(*content, strict=True)])
    changes = {"gan": {"lr": 5e-3}, "wgan-gp": {"lr": 5e-3, "critic_steps": 1, "diffaugment": ""}}
    settings = tiny.config(name, **changes.get(name, {"lr": 1e-2, "target": 0.0}))

    def make():
        model = tiny.backend(name).Model(settings, 0, len(told))
        model.facts.fit(facts, torch.zeros(len(facts)).long())
        return model

    def teach(model):
        optimizers = model.optimizers()
        for step in range(60):
            if hasattr(model, "begin"):
                model.begin(step)
            train_step(model, optimizers, step, replace(batch(images, seed=step), facts=facts))

    def wrong(model):
        model.eval()
        if hasattr(model, "fit"):
            model.fit(iter(()))
        wanted = [steer.steering(told, {"color": (word,)}).inputs[""] for word in ("red", "blue")]
        red, blue = (model.generate(range(16), facts=torch.tensor([w] * 16)).mean((0, 2, 3)) for w in wanted)
        return {"red": red[2] - red[0], "blue": blue[0] - blue[2]}

    assert_learns(make, teach, wrong, seeds=range(1 if name == "stylegan" else 2))


# --- runs ------------------------------------------------------------------------------------------------------------


def train(name, *more, out="run", steps=4):
    return [
        "train", name, "data", "--out", out, "--save-every", 2, "--steps", steps, "--device", "cpu", *tiny.flags(name),
        *more,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["wgan-gp", "stylegan"])
def test_a_run_with_a_table_and_colours(invoke, folder, name):
    """Told, gone on with at the same bytes, and asked for."""
    tiny.write_pictures(folder / "data")
    write_table(folder / "data" / "labels.csv", NAMES[:-2])
    told = ("--table", "labels.csv", "--by-color")
    whole = invoke(*train(name, *told, out="whole"))
    assert whole.exit_code == 0, whole.stderr
    assert "data: Without a line in labels.csv: 2 pictures, learned from as unknown." in whole.stderr
    assert invoke(*train(name, *told, steps=2)).exit_code == 0
    assert invoke(*train(name, *told)).exit_code == 0
    assert (folder / "run/weights.safetensors").read_bytes() == (folder / "whole/weights.safetensors").read_bytes()
    told = runs.describe(folder / "run")["data"]["columns"]
    assert [each["name"] for each in told] == ["style", "year", *columns.COLOR]
    asked = invoke("sample", "run", "--where", "style=old", "--where", "year=2000", "--seed", "0-3", "-o", "a.png")
    assert asked.exit_code == 0 and "--where year=2000 lies outside the training pictures, 1880 to 1901" in asked.stderr
    assert invoke("sample", "run", "--color", "blue", "--color", "red", "--seed", "0-1", "-o", "b.png").exit_code == 0
    rows = np.split(np.asarray(Image.open("b.png")).astype(int), [16, 18])
    assert np.abs(rows[0] - rows[2]).max() > 0
    assert invoke("sample", "run", "--color", "red", "--seed", "0-1", "-o", "red/").exit_code == 0
    assert invoke("sample", "--from", "b.png", "-o", "c.png").exit_code == 0
    assert (folder / "b.png").read_bytes() != b"" and np.array_equal(Image.open("b.png"), Image.open("c.png"))
    walked = invoke("sample", "run", "--interpolate", "--where", "style=old", "--seed", "0-1", "-o", "way.png")
    assert walked.exit_code == 0, walked.stderr


def test_check_says_what_a_table_tells(invoke, folder):
    tiny.write_pictures(folder / "data")
    write_table(folder / "labels.csv", NAMES[:10], title="same")
    said = invoke("train", "gan", "data", "--table", "labels.csv", "--check")
    assert said.exit_code == 0 and "column style: cubist 5, old 5\ncolumn year: 1880 to 1889\n" in said.stderr
    assert "Left out, the column title: it says the same of all pictures." in said.stderr
    assert "Without a line in labels.csv: " in said.stderr
    found = json.loads(invoke("train", "gan", "data", "--table", "labels.csv", "--check", "-q", "--json").stdout)
    assert [each["name"] for each in found["columns"]] == ["style", "year"]
    (folder / "labels.csv").write_text("file,style\nx.png,old\n")
    said = invoke("train", "gan", "data", "--table", "labels.csv", "--check", "-q")
    assert said.exit_code == 2 and "names none of the pictures" in one_error_line(said.stderr)


def test_a_changed_table_is_another_run(invoke, folder):
    tiny.write_pictures(folder / "data")
    write_table(folder / "labels.jsonl")
    assert invoke(*train("gan", "--table", "labels.jsonl", steps=2)).exit_code == 0
    write_table(folder / "labels.jsonl", NAMES[::-1])
    again = invoke(*train("gan", "-q", "--table", "labels.jsonl"))
    assert again.exit_code == 2 and "data.fingerprint" in one_error_line(again.stderr)


def test_a_finished_run_needs_its_table_no_more(invoke, folder):
    tiny.write_pictures(folder / "data")
    table = write_table(folder / "labels.csv")
    assert invoke(*train("gan", "-q", "--table", "labels.csv", steps=2)).exit_code == 0
    table.unlink()
    done = invoke("sample", "run", "--neighbours", "--where", "style=old", "--seed", "0-1", "-o", "near.png", "-q")
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    ("model", "more", "line"),
    [
        ("gan", ["--table", "none.csv"], "there is no table none.csv, nor in data"),
        ("vae", ["--table", "labels.csv"], "vae cannot be told what is known of pictures: leave --table out"),
        ("vae", ["--by-color"], "vae cannot be told what is known of pictures: leave --by-color out"),
        ("gan", ["--table", "same.csv"], "same.csv says nothing to learn from. Left out, the column style"),
        ("gan", ["--by-color", "--color", "grey"], "--by-color needs pictures in colour; these are grey"),
        ("gan", ["--table", "twice.csv", "--by-color"], "has a column saturation, as --by-color has"),
    ],
)
def test_what_cannot_be_told(invoke, folder, model, more, line):
    tiny.write_pictures(folder / "data")
    write_table(folder / "labels.csv")
    (folder / "same.csv").write_text("file,style\n000.png,old\n001.png,old\n")
    (folder / "twice.csv").write_text("file,saturation\n000.png,1\n001.png,2\n")
    result = invoke(*train(model, *more, "-q"))
    assert result.exit_code == 2 and line in one_error_line(result.stderr)


def test_samples_of_a_run_that_knows_no_columns(invoke, folder):
    tiny.write_pictures(folder / "data")
    assert invoke(*train("gan", "-q", steps=2)).exit_code == 0
    result = invoke("sample", "run", "--where", "style=old", "--color", "blue", "-q")
    assert result.exit_code == 2
    assert one_error_line(result.stderr).endswith(
        "was told nothing of its pictures but the class: leave --where style, --color out."
    )


def test_metadata_of_other_things_than_captions(invoke, folder):
    """The Hugging Face image folder has one file for both."""
    tiny.write_pictures(folder / "data")
    rows = [json.dumps({"file_name": name, "year": n}) for n, name in enumerate(NAMES)]
    (folder / "data/metadata.jsonl").write_text("\n".join(rows))
    assert invoke(*train("gan", "-q", "--table", "metadata.jsonl", steps=2)).exit_code == 0
    assert [each["name"] for each in runs.describe(folder / "run")["data"]["columns"]] == ["year"]
