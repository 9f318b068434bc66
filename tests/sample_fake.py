"""A model without training for the tests of `artgen sample`: linear, invertible, and told apart by every latent."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

LATENT, SIDE = 4, 16


class Model(nn.Module):
    """Latents (N, 4) to pictures whose 4 x 4 blocks are sigmoids of linear mixes; `encode` inverts that exactly.

    calls: the number of pictures of every call of `decode`, for tests of batches.
    """

    def __init__(self, side=SIDE, channels=3, classes=0, seed=0):
        super().__init__()
        self.config = SimpleNamespace(size=side, channels=channels, batch=4, epochs=1)
        self.classes, self.calls = classes, []
        mix = torch.linalg.qr(torch.randn(channels * 16, LATENT, generator=torch.Generator().manual_seed(seed)))[0]
        self.mix = nn.Parameter(4 * mix, requires_grad=False)  # (C * 16, D)

    def latents(self, seeds, truncation=1.0):
        rows = [torch.randn(LATENT, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return truncation * torch.stack(rows)

    def decode(self, latents, labels=None):
        self.calls.append(len(latents))
        if labels is not None:
            latents = latents + labels[:, None]
        side, channels = self.config.size, self.config.channels
        blocks = (latents @ self.mix.T).sigmoid().view(-1, channels, 4, 4)
        return blocks.repeat_interleave(side // 4, 2).repeat_interleave(side // 4, 3)

    def encode(self, images, labels=None):
        blocks = nn.functional.adaptive_avg_pool2d(images, 4).flatten(1).clamp(1e-4, 1 - 1e-4).logit()
        latents = blocks @ torch.linalg.pinv(self.mix).T
        return latents if labels is None else latents - labels[:, None]

    def reconstruct(self, images):
        return self.decode(self.encode(images))

    def generate(self, seeds, labels=None, truncation=1.0):
        return self.decode(self.latents(seeds, truncation), labels)

    def blend(self, start, end, part):
        return start + part * (end - start)


class Drawing(nn.Module):
    """A model that only draws, as a GAN of one piece would; it knows no truncation."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(size=SIDE, channels=3, batch=4, epochs=1)

    def generate(self, seeds, labels=None):
        return torch.stack([torch.full((3, SIDE, SIDE), seed % 10 / 10) for seed in seeds])


class Coder(nn.Module):
    """A model that only codes pictures, as a plain autoencoder would."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(size=SIDE, channels=3, batch=4, epochs=1)

    def encode(self, images):
        return images.flatten(1)

    def decode(self, latents):
        return latents.view(-1, 3, SIDE, SIDE)

    def reconstruct(self, images):
        return images

    def blend(self, start, end, part):
        return start + part * (end - start)


@dataclass
class Workshop:
    """The runs that `artgen sample` finds: their models, and the pictures they were trained on."""

    models: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)
    classes: dict = field(default_factory=dict)
    preparation: dict = field(default_factory=dict)
    fingerprint: str = "0" * 16

    def add(self, path, model, *, data=None, classes=(), **preparation):
        path.mkdir(parents=True)
        self.models[path.name], self.data[path.name], self.classes[path.name] = model, data, list(classes)
        self.preparation[path.name] = preparation
        return model

    def load(self, run, device, **options):
        from artcli.errors import UsageError
        from artcli.training.runs import Loaded
        from artcli.training.spec import DataSpec, RunSpec

        if run.name not in self.models:
            raise UsageError(f"{run} is no run folder")
        model = self.models[run.name].eval()
        data = DataSpec(preparation=self.preparation[run.name], found={"classes": self.classes[run.name]})
        return Loaded(model, getattr(model, "config", None), RunSpec("tiny", data=data), 7, self.fingerprint, run)

    def dataset(self, loaded):
        from artcli.errors import UsageError

        data = self.data[loaded.run.name]
        if data is None:
            raise UsageError("the pictures it was trained on are gone")
        return data


def pictures_of(model, seeds, held_out=()):
    """A data set of what the model itself draws from these seeds; `held_out` are those it was not trained on."""
    drawn = (model.generate(list(seeds)).clamp(0, 1) * 255 + 0.5).byte().permute(0, 2, 3, 1).numpy()
    held = np.isin(list(seeds), list(held_out))
    return SimpleNamespace(
        images=np.ascontiguousarray(drawn),
        names=[f"drawn-{seed}.png" for seed in seeds],
        training=np.flatnonzero(~held),
        held_out=np.flatnonzero(held),
    )


@pytest.fixture
def workshop(folder, monkeypatch):
    """Runs `tiny` (trained on what seeds 100 to 129 and 3 give, not on 4's) and others that a test adds, in `runs`."""
    from artcli.training import runs

    shop = Workshop()
    monkeypatch.setattr(runs, "load_generator", shop.load)
    monkeypatch.setattr(runs, "dataset_of", shop.dataset)
    model = Model()
    shop.add(folder / "runs" / "tiny", model, data=pictures_of(model, [*range(100, 130), 3, 4], held_out=[4]))
    model.calls.clear()
    return shop


@pytest.fixture
def sample(invoke, workshop):
    """`artgen sample runs/tiny ...` in this process; fails unless it exits as expected."""

    def run(*args, run="runs/tiny", code=0, **options):
        result = invoke("sample", *([run] if run else []), *args, **options)
        assert result.exit_code == code, result.stderr
        return result

    return run
