"""What a call waits for before it works: it imports what it needs itself, and leaves torch's compiler out."""

import json
import os
import subprocess
import sys

import pytest
import torch

from artcli import cli, config
from artcli.nn.adam import Adam
from artcli.nn.unfilled import unfilled
from tests.conftest import photograph

_VERBS = ("batch", "cyclegan", "dream", "gallery", "paint", "sample", "stylize", "train")


def after(*lines, env=None, cwd=".", without=()):
    """What a fresh process has after these command lines: modules, settings of OpenMP, and what was said.

    without: modules that raise when they are imported.
    """
    code = """if True:
        import json, os, sys
        from artcli import __main__ as start
        sys.modules.update(dict.fromkeys(json.loads(sys.argv[2])))
        start._Exit = type("Stay", (), {"code": 0})
        for line in json.loads(sys.argv[1]):
            sys.argv = ["artgen", *line]
            try:
                start.main()
            except SystemExit as end:
                print("code", end.code, file=sys.stderr)
        told = {name: value for name, value in os.environ.items() if name.startswith(("OMP_WAIT", "GOMP", "KMP"))}
        print(json.dumps([[*sys.modules], told]))"""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_WAIT", "GOMP", "KMP"))}
    given = json.dumps([list(map(str, line)) for line in lines]), json.dumps(without)
    done = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, env=plain | (env or {}), cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    modules, told = json.loads(done.stdout.splitlines()[-1])
    return set(modules), told, done.stderr


# --- before torch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["paint", "dream"])
def test_a_refusal_imports_its_own_verb_only(folder, verb):
    line = {"paint": ["paint", "nowhere.png"], "dream": ["dream", "red car", "--init", "nowhere.png"]}[verb]
    modules, _, said = after(line)
    assert "code 2" in said and "nowhere.png" in said
    assert {name for name in _VERBS if f"artcli.commands.{name}.request" in modules} == {verb}
    assert not {"torch", "numpy", "PIL", "ssl", "filelock", "artcli.fetch"} & modules


def test_every_command_is_there_and_has_its_name():
    commands = cli.Commands()
    assert {*_VERBS, "doctor", "models", "weights"} == {*commands} and len(commands) == 11
    assert [command.name for command in commands.values()] == [*commands]
    with pytest.raises(KeyError):
        commands["nothing"]


def test_defaults_are_asked_for_the_called_command_only(folder, monkeypatch):
    asked = []

    class Known(dict):
        def __getitem__(self, name):
            asked.append(name)
            return super().__getitem__(name)

    known = Known(dream={"out": "out"}, train={"out": "out"})
    monkeypatch.setenv("ARTGEN_OUT", "a")
    assert config.load(known, ["dream"]) == {"dream": {"out": "a"}, "train": {}} and asked == ["dream"]
    (folder / "artgen.toml").write_text("[train]\nuot = 'b'")
    with pytest.raises(config.UsageError, match="Did you mean 'out'"):  # a mistake shows, whose ever it is
        config.load(known, ["dream"])


# --- threads --------------------------------------------------------------------------------------------------------


def test_waiting_threads_sleep_unless_the_user_says_otherwise(folder):
    """Set before torch is imported: OpenMP reads it when it is loaded."""
    assert after(["--version"])[1] == {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
    for own in ({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}, {"KMP_BLOCKTIME": "5"}):
        assert after(["--version"], env=own)[1] == own


# --- memory ---------------------------------------------------------------------------------------------------------

FAULTS = """
import resource, sys
from artcli import device
if sys.argv[1:]:
    sys.exit(0 if device.keep_memory() else 3)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        b"x" * (4 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
given_back = faults()
device.keep_memory()
faults()
print(given_back, faults())
"""


def test_freed_memory_is_used_again():
    def run(*args):
        return subprocess.run([sys.executable, "-c", FAULTS, *args], capture_output=True, text=True)

    if run("whether").returncode == 3:
        pytest.skip("only glibc can be told")
    given_back, kept = map(int, run().stdout.split())
    assert kept < given_back / 10


# --- without torch's compiler ---------------------------------------------------------------------------------------


def once_torch_is_imported(code):
    """What the code prints in a fresh process, by lines."""
    head = "import gc, sys; from artcli import device; device.is_processor = lambda name: True; device.import_torch();"
    return subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True).stdout.split()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="its generations are others")
def test_garbage_is_not_sought_among_what_torch_has_made():
    young = "print(sum(len(gc.get_objects(generation=each)) for each in (0, 1)), gc.get_freeze_count(), gc.isenabled())"
    count, frozen, looks = once_torch_is_imported(young)
    assert int(count) < 20_000 and (frozen, looks) == ("0", "True")


def test_without_a_gpu_torch_leaves_cudas_bindings_alone():
    said = once_torch_is_imported("print(any(name.split('.')[0] == 'cuda' for name in sys.modules))")
    assert said == ["False"]


def test_no_verb_imports_the_compiler(folder):
    photograph(folder / "photo.png", (32, 32))
    modules, _, said = after(
        ["paint", "photo.png", "-o", "1.png"],
        ["cyclegan", "photo.png", "--model", "monet-mini", "--upscale", 2, "-o", "2.png"],
        ["stylize", "photo.png", "photo.png", "--fast", "--size", 32, "-o", "3.png"],
        ["stylize", "photo.png", "photo.png", "--size", 32, "--steps", 2, "-o", "4.png"],
        ["dream", "red car", "--size", 32, "--steps", 2, "--cutouts", 2, "--candidates", 1, "-o", "5.png"],
    )
    assert all((folder / f"{n}.png").exists() for n in range(1, 6)), said
    assert "torch" in modules and not {name for name in modules if name.startswith(("torch._dynamo", "transformers"))}


@pytest.mark.parametrize(
    ("kind", "fused"), [("adam", None), ("adam", True), ("adamw", None), ("adamw", True), ("radam", None)]
)
def test_adam_is_torchs_to_the_last_bit(kind, fused):
    classes = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "radam": torch.optim.RAdam}
    rng = torch.Generator().manual_seed(0)
    first = [torch.randn(3, 5, generator=rng), torch.randn(7, generator=rng)]
    how = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-6} | ({"fused": True} if fused else {})
    ours, theirs = ([p.clone().requires_grad_() for p in first] for _ in range(2))
    mine, other = Adam(ours, kind, **how), classes[kind](theirs, **how)
    for step in range(12):
        if step == 6:  # go on in a fresh one, from what torch has saved
            mine, saved = Adam(ours, kind, **how), mine.state_dict()
            for number, known in other.state_dict()["state"].items():
                assert all(torch.equal(value, saved["state"][number][name]) for name, value in known.items())
            mine.load_state_dict(other.state_dict())
        for one, same in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=rng)
            same.grad = one.grad.clone()
        if step == 3:  # no part in it
            ours[1].grad = theirs[1].grad = None
        mine.param_groups[0]["lr"] = other.param_groups[0]["lr"] = 0.1 / (1 + step)
        mine.step(), other.step()
        assert all(map(torch.equal, ours, theirs))
    mine.zero_grad()
    assert all(parameter.grad is None for parameter in ours)


def test_nets_are_made_without_drawing_numbers(monkeypatch):
    before = torch.get_rng_state()
    with unfilled():
        net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Embedding(3, 2), torch.nn.Conv2d(1, 1, 3))
        torch.nn.init.xavier_uniform_(net[0].weight)
    assert {parameter.device.type for parameter in net.parameters()} == {"meta"}
    assert torch.equal(torch.get_rng_state(), before)
    filled = torch.nn.Linear(2, 2)
    net[0].load_state_dict(filled.state_dict(), assign=True)
    assert torch.equal(net[0](torch.ones(2)), filled(torch.ones(2)))
