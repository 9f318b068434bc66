"""KID, FID, precision and recall: the figures, the net behind them, and `artgen sample RUN --score DATA`."""

import importlib.util
import json
from pathlib import Path

import pytest
import scipy.linalg
import torch

from artcli.commands.sample import request as sample_request
from artcli.errors import WeightsError
from artcli.nn import fidelity
from artcli.pretrained import inception
from tests import sample_fake
from tests.conftest import one_error_line

workshop, sample = sample_fake.workshop, sample_fake.sample
CPU = torch.device("cpu")
needs_the_extra = pytest.mark.skipif(not importlib.util.find_spec("torch_fidelity"), reason="torch-fidelity")


def features(count, seed, away=0.0, width=12):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=rng, dtype=torch.float64) + away


def test_kid_is_the_mean_of_all_pairs_but_those_of_a_picture_with_itself(monkeypatch):
    monkeypatch.setattr(fidelity, "_ROWS", 3)
    x, y = features(7, 0), features(5, 1, 0.5)
    kernel = lambda a, b: (float(a @ b) / 12 + 1) ** 3  # noqa: E731
    within = [[kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j] for z in (x, y)]
    across = [kernel(a, b) for a in x for b in y]
    expected = sum(sum(part) / len(part) for part in within) - 2 * sum(across) / len(across)
    assert fidelity.kid(x, y) == pytest.approx(expected)
    assert fidelity.kid(x, y) > fidelity.kid(x, features(5, 2))


def test_fid_is_the_distance_of_two_normal_distributions():
    x, y = features(40, 0), features(60, 1, 0.5) * torch.linspace(0.5, 2, 12)
    one, other = torch.cov(x.T), torch.cov(y.T)
    root = torch.from_numpy(scipy.linalg.sqrtm((one @ other).numpy()).real)
    expected = (x.mean(0) - y.mean(0)).square().sum() + (one + other - 2 * root).trace()
    assert fidelity.fid(x, y) == pytest.approx(float(expected))
    assert fidelity.fid(x, x) == pytest.approx(0, abs=1e-6)
    assert fidelity.fid(features(6, 0), features(6, 1)) > 0, "fewer pictures than features"


def test_precision_and_recall_of_a_model_that_knows_one_of_two_kinds(monkeypatch):
    monkeypatch.setattr(fidelity, "_ROWS", 16)
    kinds = torch.cat((features(50, 0), features(50, 1, 100.0)))
    one = features(50, 2)
    precision, recall = fidelity.precision_recall(one, kinds)
    assert precision > 0.7 and 0.3 < recall <= 0.5
    assert fidelity.precision_recall(kinds, kinds) == (1.0, 1.0)


@needs_the_extra
def test_the_figures_are_torch_fidelitys():
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    x, y = features(80, 0), features(80, 1, 0.4)
    quiet = {"verbose": False, "kid_subsets": 1, "kid_subset_size": 80, "save_cpu_ram": False}
    assert fidelity.kid(x, y) == pytest.approx(kid_features_to_metric(x, y, **quiet)["kernel_inception_distance_mean"])
    told = fid_statistics_to_metric(*map(fid_features_to_statistics, (x, y)), verbose=False)
    assert fidelity.fid(x, y) == pytest.approx(told["frechet_inception_distance"])
    told = prc_features_to_metric(x, y, **quiet)
    assert fidelity.precision_recall(x, y) == pytest.approx((told["precision"], told["recall"]))


@needs_the_extra
def test_inception_from_a_file(tmp_path, monkeypatch):
    """The weights are read as tensors: a file that holds code is refused, and never run."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Net

    with monkeypatch.context() as patch:
        patch.setattr(Net, "load_state_dict", lambda self, state: None)
        torch.save({}, tmp_path / "nothing.pth")
        net = Net("random", ["2048"], feature_extractor_weights_path=str(tmp_path / "nothing.pth"))
    torch.save(net.state_dict(), tmp_path / "inception.pth")
    loaded = inception.load(str(tmp_path / "inception.pth"), CPU)
    pictures = torch.randint(0, 256, (2, 3, 20, 24), dtype=torch.uint8)
    assert loaded.name == "inception.pth" and loaded(pictures).shape == (2, 2048)
    torch.testing.assert_close(loaded(pictures), net(pictures)[0].double())
    part = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith("Mixed_5b")}
    torch.save(part, tmp_path / "part.pth")
    with pytest.raises(WeightsError, match="does not fit"):
        inception.load(str(tmp_path / "part.pth"), CPU)
    torch.save(net, tmp_path / "whole.pth")
    with pytest.raises(WeightsError):
        inception.load(str(tmp_path / "whole.pth"), CPU)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(WeightsError, match="--offline forbids a download"):
        inception.load(inception.NAME, CPU, offline=True)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def score(sample, folder, monkeypatch):
    """`artgen sample --score photos` with a net that looks at a few pixels."""

    class Net:
        name = "a few pixels"

        def __call__(self, pictures):
            assert pictures.dtype == torch.uint8 and len(pictures) <= 16
            return torch.nn.functional.adaptive_avg_pool2d(pictures.double(), 2).flatten(1) / 255

    asked = []
    monkeypatch.setattr(inception, "load", lambda spec, device: asked.append(spec) or Net())
    monkeypatch.setattr(sample_request, "find_spec", lambda name: name)
    (folder / "photos").mkdir()
    run = lambda *args, **how: sample("--score", "photos", *args, **how)  # noqa: E731
    run.asked = asked
    return run


def test_the_figures_of_a_run(score, folder):
    """The data are what the model draws from other seeds, so that it scores well."""
    result = score("--seed", 0, "--count", 40, "--json")
    said, told = json.loads(result.stdout), json.loads(Path("tiny-score.json").read_text())
    assert said["paths"] == ["tiny-score.json"] and score.asked == [inception.NAME]
    assert (told["generated"], told["real"], told["net"]) == (40, 32, "a few pixels")
    assert abs(told["kid"]) < 0.01 and told["fid"] < 0.1 and told["precision"] > 0.6 and told["recall"] > 0.6
    assert {name: said[name] for name in ("kid", "fid")} == {name: told[name] for name in ("kid", "fid")}
    assert told["recipe"]["seed"] == "0-39" and told["data"] == "photos"
    assert f"KID {told['kid']:.5f}, FID {told['fid']:.2f}" in result.stderr
    assert "by a few pixels" in result.stderr and "40 pictures beside 32 real ones" in result.stderr
    fewer = json.loads(score("--seed", 0, "--count", 10, "--json", "--out", "b.json").stdout)
    assert (fewer["generated"], fewer["real"]) == (10, 10), "as many of each"


def test_the_pictures_are_prepared_as_the_models_own(score, workshop, monkeypatch):
    from artcli.training import runs

    found = []
    monkeypatch.setattr(runs, "dataset_of", lambda loaded: found.append(loaded.spec.data) or workshop.dataset(loaded))
    score("--count", 8, "--seed", 0)
    assert (found[0].path, found[0].preparation["size"]) == ("photos", 16)


def test_what_a_score_cannot_do(score, sample, folder, monkeypatch):
    said = lambda *args, **how: one_error_line(score(*args, "-q", code=2, **how).stderr)  # noqa: E731
    assert said("--count", 2).endswith("5 pictures or more of each kind, not 2 real, 2 generated")
    assert score.asked == [], "no download for nothing"
    assert "use one of .json" in said("--out", "a.png")
    assert "no file none.pth" in said("--inception", "none.pth")
    assert "no file nowhere" in one_error_line(sample("--score", "nowhere", "-q", code=2).stderr)
    assert "--inception has no meaning with --samples" in one_error_line(
        sample("--inception", "a", "-q", code=2).stderr
    )
    monkeypatch.setattr(sample_request, "find_spec", lambda name: None)
    assert "pip install 'artgen[metrics]'" in said()
    assert not list(folder.glob("*.json"))
