"""Every family of finished weights is found and loaded in the same way."""

import importlib
import inspect
import pkgutil

import pytest
import torch

from artcli import pretrained
from artcli.errors import UsageError, WeightsError
from artcli.pretrained import find

MODULES = [importlib.import_module(f"artcli.pretrained.{m.name}") for m in pkgutil.iter_modules(pretrained.__path__)]
LOADS = {module.__name__.rpartition(".")[2]: module.load for module in MODULES if hasattr(module, "load")}
del LOADS["referee"]  # it comes with its CLIP and has no name of its own
FINDS = {"own": find.own, "painter": find.painter, "translator": find.translator}
WHERE = {"weights_dirs": (), "offline": False}


@pytest.mark.parametrize("name", [*LOADS, *FINDS])
def test_the_same_arguments_in_the_same_order(name):
    found = inspect.signature(LOADS.get(name) or FINDS[name]).parameters
    assert list(found)[: 2 if name in LOADS else 1] == (["spec", "device"] if name in LOADS else ["spec"])
    assert {key: found[key].default for key in WHERE} == WHERE and list(found)[-2:] == list(WHERE)
    assert all(found[key].kind is inspect.Parameter.KEYWORD_ONLY for key in WHERE)


@pytest.mark.parametrize("name", [name for name in LOADS if name != "pipelines"])
def test_the_same_errors(tmp_path, name):
    """A name that nothing has, a folder that is not there, and weights of another kind.

    Names of pipelines are folders and the hub's: see their own tests.
    """
    cpu = torch.device("cpu")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    other = f"RN50={tmp_path / 'other.pth'}" if name == "clip" else str(tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth"):
        LOADS[name](other, cpu)
    with pytest.raises(UsageError, match="neither a file nor known"):
        LOADS[name]("nothing-of-that-name", cpu)
    with pytest.raises(UsageError, match="no such folder"):
        LOADS[name]("nothing-of-that-name", cpu, weights_dirs=[tmp_path / "none"])
