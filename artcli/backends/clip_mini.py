"""clip-mini: a small CLIP (Radford et al., 2021) whose image tower is adversarially robust (Madry et al., 2018).

The text tower is distilled from a sentence encoder; its target is the teacher's embedding centred, reduced by PCA
and partly whitened, so that phrases that differ by one word come apart.  The image tower then learns to point at the
text tower's embedding of each picture's class and colour.  Every batch is first moved against itself inside an L2
ball by one gradient step with a random start ("Fast is better than free", Wong et al., 2020): the gradients of a net
trained so follow shapes that people recognise, which is what steering an optimisation needs.
"""

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from artcli import weights
from artcli.backends.clip_phrases import COLORS, STYLES
from artcli.errors import UsageError, did_you_mean
from artcli.nn import augment
from artcli.training.colors import dominant_color
from artcli.training.concepts import Concepts
from artcli.training.pictures import load_sets

ATTRIBUTES = tuple(f"a {color} {{}}" for color in COLORS) + STYLES[:2]  # the styles augment can make
BLACK_AND_WHITE, SKETCH = len(COLORS), len(COLORS) + 1


_MAY_BE_ZERO = {"text_steps", "radius", "color_weight", "ema", "first_part", "clean_part"}


@dataclass(frozen=True)
class Config:
    """Sizes and schedule; a step is one optimizer step of either tower."""

    embed_dim: int = 256
    context_length: int = 64
    text_width: int = 192
    text_layers: int = 4
    trunk: str = "resnet10t"  # a timm name, so that plain open_clip loads the result
    image_size: int = 96  # of the finished model
    text_steps: int = 1900
    image_steps: int = 9000
    text_batch: int = 512
    image_batch: int = 128
    text_lr: float = 1e-3
    image_lr: float = 0.1
    first_size: int = 64  # side of the pictures in the first part of training
    first_part: float = 0.8  # of image_steps
    clean_part: float = 0.5  # of image_steps, before the adversary comes: features first, then robust ones
    radius: float = 0.75  # of the L2 ball at 32 px; grows with the side, so that it stays the same per pixel
    color_weight: float = 0.5
    ema: float = 0.999
    start: str = ""  # a bundled name or a folder: go on from its weights (then text_steps may be 0)

    def __post_init__(self) -> None:
        if self.trunk not in timm.list_models():
            raise UsageError(f"trunk '{self.trunk}' is no timm model.{did_you_mean(self.trunk, timm.list_models())}")
        if self.text_steps == 0 and not self.start:
            raise UsageError("text_steps 0 leaves the text tower untrained; give start=clip-mini or a model's folder")
        for name, value in vars(self).items():
            if not isinstance(value, str) and not (0 < value < math.inf or (value == 0 and name in _MAY_BE_ZERO)):
                raise UsageError(f"{name} has to be above 0, not {value}")

    @property
    def steps(self) -> int:
        return self.text_steps + self.image_steps

    def model_cfg(self) -> dict:
        """open_clip's description of the model."""
        return {
            "embed_dim": self.embed_dim,
            "vision_cfg": {
                "timm_model_name": self.trunk,
                "timm_model_pretrained": False,
                "image_size": self.image_size,
            },
            "text_cfg": {
                "context_length": self.context_length,
                "vocab_size": 49408,
                "width": self.text_width,
                "heads": max(1, self.text_width // 48),
                "layers": self.text_layers,
            },
        }


MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.27)


def encode_tokens(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Unit text embeddings of tokens (B, L), without spending time on the padding that all rows share.

    The same numbers as `model.encode_text(tokens, normalize=True)`: attention is causal, so cutting behind the
    longest text changes nothing.
    """
    length = int((tokens != 0).sum(1).max())
    tokens = tokens[:, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    x = x[torch.arange(len(x)), tokens.argmax(-1)] @ model.text_projection
    return F.normalize(x, dim=-1)


def whiten(vectors: torch.Tensor, dims: int) -> torch.Tensor:
    """Teacher embeddings (N, D) centred, in their first `dims` principal directions, half whitened, unit length."""
    centred = vectors - vectors.mean(0)
    variance, directions = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
    scaled = directions[:, -dims:] * variance[-dims:].clamp_min(1e-8) ** -0.25
    return F.normalize(centred @ scaled, dim=1)


class Task:
    """What the trainer trains: the model, its optimizers, and one step of either tower.

    data: a folder made by weights/recipes/clip_mini_data.py (picture sets and texts.npz).
    Raises UsageError when the folder lacks either.
    """

    def __init__(self, config: Config, data: Path, device: torch.device):
        import open_clip

        self.config, self.device = config, device
        self.model = open_clip.model.CLIP(**config.model_cfg()).to(device)
        if config.start:
            take_over(self.model, config.start)
        self.tokenize = open_clip.tokenizer.SimpleTokenizer(context_length=config.context_length)
        self.model.visual.to(memory_format=torch.channels_last)
        self.average: nn.Module = copy.deepcopy(self.model.visual).eval().requires_grad_(False)
        self.modules = nn.ModuleDict({"model": self.model, "average": self.average})
        self.optimizers = self._optimizers()
        self.texts, self.targets = load_texts(data, self.tokenize, config)
        self.sets = load_sets(data)
        self.rows = [s.split() for s in self.sets]
        self.concepts = Concepts(self.sets)
        self.class_table = torch.empty(0)  # filled when the text tower is done

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        visual = list(self.model.visual.parameters())
        text = [p for n, p in self.model.named_parameters() if not n.startswith("visual.") and n != "logit_scale"]
        decayed = [p for p in visual if p.ndim > 1]
        plain = [p for p in visual if p.ndim <= 1] + [self.model.logit_scale]
        groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0.0}]
        return {
            "text": torch.optim.AdamW(text, self.config.text_lr, betas=(0.9, 0.98), weight_decay=0.01),
            "image": torch.optim.SGD(groups, self.config.image_lr, momentum=0.9, nesterov=True),
        }

    def learning_rate(self, step: int) -> dict[str, float]:
        """Factor of each optimizer's learning rate: warm-up, level, then linear to zero."""
        text, image = self.config.text_steps, self.config.image_steps
        return {"text": _trapezoid(step, text, 0.5), "image": _trapezoid(step - text, image, 0.6)}

    def train_step(self, step: int, rng: torch.Generator) -> Iterator[tuple[str, torch.Tensor]]:
        if step < self.config.text_steps:
            yield "text", self._text_loss(rng)
        else:
            part = (step - self.config.text_steps) / self.config.image_steps
            yield "image", self._image_loss(part, rng)

    def after_step(self, step: int) -> None:
        """Move the averaged image tower a little towards the trained one."""
        done = step - self.config.text_steps
        if done < 0:
            return
        decay = min(self.config.ema, (1 + done) / (10 + done))
        for mean, now in zip(self.average.state_dict().values(), self.model.visual.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)

    # text tower -----------------------------------------------------------------------------------------------

    def _text_loss(self, rng: torch.Generator) -> torch.Tensor:
        rows = self._similar_lengths(rng)
        with self._autocast():
            found = encode_tokens(self.model, self.texts[rows].to(self.device).long())
        return 1 - (found.float() * self.targets[rows].to(self.device)).sum(1).mean()

    def _similar_lengths(self, rng: torch.Generator) -> torch.Tensor:
        """Random rows of about one length: a batch costs as much as its longest text.

        A quarter, drawn at random, of four batches sorted by length; over many steps every text is equally likely.
        """
        count = self.config.text_batch
        rows = torch.randint(len(self.texts), (4 * count,), generator=rng)
        rows = rows[(self.texts[rows] != 0).sum(1).argsort(stable=True)]
        quarter = int(torch.randint(4, (), generator=rng))
        return rows[quarter * count : (quarter + 1) * count]

    @torch.no_grad()
    def embed(self, texts: list[str]) -> torch.Tensor:
        """Unit embeddings (N, D) by the text tower."""
        parts = [
            encode_tokens(self.model, self.tokenize(texts[i : i + 512]).to(self.device))
            for i in range(0, len(texts), 512)
        ]
        return torch.cat(parts).float()

    def _fill_tables(self) -> None:
        """Text embeddings of every class and kind, and of each with every attribute."""
        names = self.concepts.names
        plain = [
            (i, t.format(w)) for i, n in enumerate(names) for w in n.split(", ") for t in ("{}", "a photo of a {}")
        ]
        owner = torch.tensor([i for i, _ in plain], device=self.device)
        sums = torch.zeros(len(names), self.config.embed_dim, device=self.device)
        sums.index_add_(0, owner, self.embed([text for _, text in plain]))
        self.class_table = F.normalize(sums, dim=1)  # (C, D)
        attributed = [a.format(n.split(", ")[0]) for n in names for a in ATTRIBUTES]
        self.attribute_table = self.embed(attributed).view(len(names), len(ATTRIBUTES), -1)  # (C, A, D)

    # image tower ----------------------------------------------------------------------------------------------

    def _image_loss(self, part: float, rng: torch.Generator) -> torch.Tensor:
        if not len(self.class_table):
            self._fill_tables()
        side = self._side(part)
        images, *wanted = self._draw(side, rng)
        self.model.visual.train()
        radius = self._radius(part) * side / 32
        if radius == 0:
            return self._loss(images, *wanted)
        start = random_in_ball(images.shape, radius, rng).to(self.device)
        delta = start.requires_grad_()
        loss = self._loss(images + delta, *wanted)
        (gradient,) = torch.autograd.grad(loss, delta)
        moved = project(delta.detach() + 1.25 * radius * unit(gradient), radius)
        return self._loss((images + moved).clamp(0, 1), *wanted)

    def _side(self, part: float) -> int:
        return self.config.first_size if part < self.config.first_part else self.config.image_size

    def _radius(self, part: float) -> float:
        """None, then growing over a twentieth of the run, then the full radius."""
        return self.config.radius * min(1.0, max(0.0, part - self.config.clean_part) * 20)

    def _loss(self, images, labels, hidden, attribute, turned) -> torch.Tensor:
        """Cross-entropy over the words of the picture's own set, and over rival words and colours together.

        A picture whose hue was turned has no natural class any more ("banana" is yellow): it counts only in the second.
        """
        with self._autocast():
            features = self.model.visual(self.normalize(images))
        scale = self.model.logit_scale.exp().clamp(max=60)
        features = F.normalize(features.float(), dim=1) * scale
        logits = (features @ self.class_table.T).masked_fill(hidden, -1e4)
        natural = ~turned & (attribute < len(COLORS))
        loss = F.cross_entropy(logits[natural], labels[natural]) if natural.any() else logits.new_zeros(())
        named = attribute >= 0
        if named.any():
            loss = (
                loss
                + self.config.color_weight
                * self._attribute_loss(features[named], labels[named], hidden[named], attribute[named])
                * named.float().mean()
            )
        return loss

    def _attribute_loss(self, features, labels, hidden, attribute) -> torch.Tensor:
        """One softmax over "a COLOR x" for every class x and "a y CLASS" for every other attribute y."""
        rivals = self.attribute_table[:, attribute].transpose(0, 1)  # (B, C, D): same attribute, every class
        by_class = torch.einsum("bd,bcd->bc", features, rivals).masked_fill(hidden, -1e4)
        by_attribute = torch.einsum("bd,bad->ba", features, self.attribute_table[labels])
        by_attribute = by_attribute.scatter(1, attribute[:, None], -1e4)  # the right one stands in by_class
        return F.cross_entropy(torch.cat((by_class, by_attribute), 1), labels)

    def _draw(self, side: int, rng: torch.Generator):
        """A batch: images (B, 3, side, side) in 0..1, rows, hidden rows, attributes (-1 unknown), hue turned."""
        shares = torch.tensor([s.share for s in self.sets])
        counts = torch.bincount(
            torch.multinomial(shares, self.config.image_batch, True, generator=rng), minlength=len(shares)
        )
        images, labels, attributed = [], [], []
        for number, (pictures, count) in enumerate(zip(self.sets, counts.tolist(), strict=True)):
            if count == 0:
                continue
            rows = self.rows[number][0]
            rows = rows[torch.randint(len(rows), (count,), generator=rng)]
            images.append(augment.random_crops(pictures.images[rows].float() / 255, side, rng, (0.4, 1.0)))
            labels.append(pictures.labels[rows] + self.concepts.first_class[number])
            attributed.append(torch.full((count,), pictures.attributes))
        batch, allowed = torch.cat(images), torch.cat(attributed)
        batch, attribute, turned = attribute_batch(augment.jitter(batch, rng), allowed, rng)
        batch = batch.contiguous(memory_format=torch.channels_last)
        rows, hidden = self.concepts.draw(torch.cat(labels), rng)
        return tuple(t.to(self.device) for t in (batch, rows, hidden, attribute, turned))

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
        return (images - mean) / std

    def _autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type in ("cpu", "cuda"))

    # results --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self, step: int) -> dict[str, float]:
        """Text: mean cosine to the teacher.  Image: zero-shot top-1 on held-out pictures, by set, averaged tower."""
        if step <= self.config.text_steps:
            rng = torch.Generator().manual_seed(0)
            return {"text_cosine": 1 - sum(self._text_loss(rng).item() for _ in range(8)) / 8}
        if not len(self.class_table):
            self._fill_tables()
        side = self._side((step - self.config.text_steps) / self.config.image_steps)
        return {f"top1_{s.name}": self._top1(number, side) for number, s in enumerate(self.sets)}

    def _top1(self, number: int, side: int) -> float:
        pictures, rows = self.sets[number], self.rows[number][1]
        first = int(self.concepts.first_class[number])
        table = self.class_table[first : first + len(pictures.names)]
        right = 0
        for part in rows.split(256):
            images = pictures.images[part].float().to(self.device) / 255
            images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
            features = self.average(self.normalize(images))
            right += int(((features @ table.T).argmax(1).cpu() == pictures.labels[part]).sum())
        return right / max(1, len(rows))

    def export(self, folder: Path) -> None:
        """Write an open_clip model directory: fp16 safetensors and its configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        finished = copy.deepcopy(self.model)
        finished.visual.load_state_dict(self.average.state_dict())
        state = {n: t.half().contiguous() if t.is_floating_point() else t for n, t in finished.state_dict().items()}
        save_file(state, folder / "open_clip_model.safetensors")
        preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
        config = {"model_cfg": self.config.model_cfg(), "preprocess_cfg": preprocess}
        (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n")


def attribute_batch(images: torch.Tensor, allowed: torch.Tensor, rng: torch.Generator):
    """Turn some hues, make some pictures black and white or a sketch, then read off every picture's attribute.

    Returns images, attribute (index into ATTRIBUTES, -1 where none) and which hues were turned.
    """
    images, turned = augment.random_hue(images, rng, 0.12)
    style = torch.rand(len(images), generator=rng)
    grey, drawn = (style < 0.03) & allowed, (style > 0.97) & allowed
    images = torch.where(grey.view(-1, 1, 1, 1), augment.black_and_white(images), images)
    images = torch.where(drawn.view(-1, 1, 1, 1), augment.sketch(images), images)
    attribute = torch.where(allowed, dominant_color(images), -1)
    attribute[grey], attribute[drawn] = BLACK_AND_WHITE, SKETCH
    return images, attribute, turned


def take_over(model: nn.Module, start: str) -> None:
    """Give the model the weights of a finished one of the same sizes.

    Raises UsageError when there is no such model or its sizes are others, WeightsError when its file is damaged.
    """
    state = weights.load_state(weights.find(start) / "open_clip_model.safetensors")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UsageError(f"start={start} has other sizes than these settings ask for") from error


def load_texts(data: Path, tokenize, config: Config) -> tuple[torch.Tensor, torch.Tensor]:
    """Token rows (N, L) as int32 and the teacher's targets (N, D)."""
    path = data / "texts.npz"
    if not path.is_file():
        raise UsageError(f"{data} has no texts.npz; weights/recipes/clip_mini_data.py makes it")
    try:
        with np.load(path, allow_pickle=False) as file:
            texts, vectors = [str(t) for t in file["texts"]], torch.from_numpy(file["vectors"]).float()
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UsageError(f"{path} is damaged ({error}); weights/recipes/clip_mini_data.py makes it") from error
    if config.embed_dim > vectors.shape[1]:
        raise UsageError(f"embed_dim {config.embed_dim} is more than the {vectors.shape[1]} of the teacher in {path}")
    return tokenize(texts).int(), whiten(vectors, config.embed_dim)


def random_in_ball(shape: torch.Size, radius: float, rng: torch.Generator) -> torch.Tensor:
    direction = unit(torch.randn(shape, generator=rng))
    return direction * radius * torch.rand((shape[0], 1, 1, 1), generator=rng)


def unit(x: torch.Tensor) -> torch.Tensor:
    """Each picture of (B, 3, H, W) scaled to L2 norm 1."""
    return x / x.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)


def project(delta: torch.Tensor, radius: float) -> torch.Tensor:
    norms = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return delta * (radius / norms.clamp_min(radius))


def _trapezoid(step: int, total: int, level_until: float) -> float:
    warmup = max(1, round(total * 0.02))
    fall = (total - step) / max(1, round(total * (1 - level_until)))
    return max(0.0, min(1.0, (step + 1) / warmup, fall))
