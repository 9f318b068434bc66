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

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import nn

from artcli import weights
from artcli.errors import UsageError, did_you_mean
from artcli.models.clip.data import ATTRIBUTES, ClipData, PictureBatch, TextBatch, tokenizer
from artcli.nn.initialise import take_over
from artcli.pretrained import referee
from artcli.pretrained.clip import encode_tokens, library
from artcli.training.colors import COLORS
from artcli.training.contract import BATCH, Batch, Exported, Port, pictures

VOCABULARY = 49408  # of open_clip's tokenizer
_MAY_BE_ZERO = {"text_steps", "radius", "color_weight", "ema", "first_part", "clean_part", "seen", "teacher_weight"}


@dataclass(frozen=True)
class Config:
    """Sizes and schedule; a step is one optimizer step of either tower."""

    embed_dim: int = 256
    context_length: int = 64
    text_width: int = 192
    text_layers: int = 4
    trunk: str = "resnet10t"  # a timm name, so that plain open_clip loads the result
    size: int = 96  # of the finished model's pictures
    channels: int = 3
    text_steps: int = 1900
    image_steps: int = 9000
    text_batch: int = 512
    batch: int = 128
    text_lr: float = 1e-3
    image_lr: float = 0.1
    first_size: int = 64  # side of the pictures in the first part of training
    first_part: float = 0.8  # of image_steps
    clean_part: float = 0.5  # of image_steps, before the adversary comes: features first, then robust ones
    radius: float = 0.75  # of the L2 ball at 32 px; grows with the side, so that it stays the same per pixel
    color_weight: float = 0.5
    ema: float = 0.999
    clip_gradient: float = 5.0  # largest norm
    start: str = ""  # a bundled name or a folder: go on from its weights (then text_steps may be 0)
    new_image: bool = False  # take only the text tower from `start`
    seen: int = 0  # side to which pictures are shrunk before they are enlarged again, as a prior's sketches are
    teacher_weight: float = 0.0  # of the probabilities that another net gave (teacher.npz in the data)

    def __post_init__(self) -> None:
        if self.trunk not in timm.list_models():
            raise UsageError(f"trunk '{self.trunk}' is no timm model.{did_you_mean(self.trunk, timm.list_models())}")
        if self.text_steps == 0 and not self.start:
            raise UsageError("text_steps 0 leaves the text tower untrained; give start=clip-mini or a model's folder")
        if self.new_image and not self.start:
            raise UsageError("new_image needs a text tower to learn for; give start=clip-mini or a model's folder")
        for name, value in vars(self).items():
            if not isinstance(value, (str, bool)) and not (
                0 < value < math.inf or (value == 0 and name in _MAY_BE_ZERO)
            ):
                raise UsageError(f"{name} has to be above 0, not {value}")

    @property
    def steps(self) -> int:
        return self.text_steps + self.image_steps

    @property
    def epochs(self) -> int:
        return 0  # pictures are drawn by the shares of their sets: there are no epochs

    def side(self, part: float) -> int:
        """Of the pictures at this part of the image steps, 0..1."""
        return self.first_size if part < self.first_part else self.size

    def radius_at(self, part: float) -> float:
        """Of the adversary's ball at 32 px: none, then growing over a twentieth of the run, then the full one."""
        return self.radius * min(1.0, max(0.0, part - self.clean_part) * 20)

    def model_cfg(self) -> dict:
        """open_clip's description of the model."""
        return {
            "embed_dim": self.embed_dim,
            "vision_cfg": {
                "timm_model_name": self.trunk,
                "timm_model_pretrained": False,
                "image_size": self.size,
            },
            "text_cfg": {
                "context_length": self.context_length,
                "vocab_size": VOCABULARY,
                "width": self.text_width,
                "heads": max(1, self.text_width // 48),
                "layers": self.text_layers,
            },
        }


MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.27)


class Model(nn.Module):
    """Both towers, the running mean of the image tower, and one step of either."""

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.config = config
        self.clip: Any = library().model.CLIP(**config.model_cfg())
        if config.start:
            file = weights.find(config.start) / "open_clip_model.safetensors"
            state = weights.load_state(file)
            if config.new_image:
                state = {n: t for n, t in state.items() if not n.startswith("visual.")}
                state |= {n: t for n, t in self.clip.state_dict().items() if n.startswith("visual.")}
            take_over(self.clip, state, config.start)
        self.clip.visual.to(memory_format=torch.channels_last)
        self.averaged: nn.Module = copy.deepcopy(self.clip.visual).eval().requires_grad_(False)
        self.sets: list[tuple[str, int, int]] = []
        self.names: list[str] = []
        self.taught: list[str] = []
        self.class_table = torch.empty(0)  # filled when the text tower is done

    @property
    def tokenize(self) -> Any:
        """Texts to tokens (N, L); no attribute, or every copy of the model would copy a long vocabulary."""
        return tokenizer(self.config.context_length)

    def study(self, data: ClipData) -> None:
        """Learn the words of the data: the names of its classes and of their kinds."""
        ends = [*data.concepts.first_class.tolist()[1:], sum(len(s.names) for s in data.sets)]
        starts = data.concepts.first_class.tolist()
        self.sets = [(s.name, start, end) for s, start, end in zip(data.sets, starts, ends, strict=True)]
        self.names = data.concepts.names
        self.taught = data.taught

    def train(self, mode: bool = True) -> "Model":
        """The averaged tower always stays in evaluation mode."""
        super().train(mode)
        self.averaged.eval()
        return self

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        visual = list(self.clip.visual.parameters())
        text = [p for n, p in self.clip.named_parameters() if not n.startswith("visual.") and n != "logit_scale"]
        decayed = [p for p in visual if p.ndim > 1]
        plain = [p for p in visual if p.ndim <= 1] + [self.clip.logit_scale]
        groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0.0}]
        return {
            "text": torch.optim.AdamW(text, self.config.text_lr, betas=(0.9, 0.98), weight_decay=0.01),
            "image": torch.optim.SGD(groups, self.config.image_lr, momentum=0.9, nesterov=True),
        }

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        """Factor of each optimizer's learning rate: warm-up, level, then linear to zero."""
        text, image = self.config.text_steps, self.config.image_steps
        return {"text": _trapezoid(step, text, 0.5), "image": _trapezoid(step - text, image, 0.6)}

    def worst_step(self, total: int) -> int:
        return total - 1  # the largest pictures, with an adversary

    def train_step(self, batch: TextBatch | PictureBatch) -> Iterator[tuple[str, torch.Tensor]]:
        if isinstance(batch, TextBatch):
            with self._autocast():
                found = encode_tokens(self.clip, batch.tokens)
            yield "text", 1 - (found.float() * batch.targets).sum(1).mean()
        else:
            if not len(self.class_table):
                self._fill_tables()
            yield "image", self._image_loss(batch)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the averaged image tower a little towards the trained one."""
        done = step - self.config.text_steps
        if done < 0:
            return
        decay = min(self.config.ema, (1 + done) / (10 + done))
        for mean, now in zip(self.averaged.state_dict().values(), self.clip.visual.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)

    # text tower -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def embed(self, texts: list[str]) -> torch.Tensor:
        """Unit embeddings (N, D) by the text tower."""
        device = self.clip.text_projection.device
        parts = [
            encode_tokens(self.clip, self.tokenize(texts[i : i + 512]).to(device)) for i in range(0, len(texts), 512)
        ]
        return torch.cat(parts).float()

    def _fill_tables(self) -> None:
        """Text embeddings of every class and kind, and of each with every attribute."""
        names = self.names
        self.class_table, self.taught_table = self._table(names), self._table(self.taught)
        attributed = [a.format(n.split("|")[0]) for n in names for a in ATTRIBUTES]
        self.attribute_table = self.embed(attributed).view(len(names), len(ATTRIBUTES), -1)  # (C, A, D)

    def _table(self, names: list[str]) -> torch.Tensor:
        """A unit embedding (N, D) per name, the mean of its synonyms', alone and in a sentence."""
        plain = [(i, t.format(w)) for i, n in enumerate(names) for w in n.split("|") for t in ("{}", "a photo of a {}")]
        if not plain:
            return torch.empty(0)
        found = self.embed([text for _, text in plain])
        owner = torch.tensor([i for i, _ in plain], device=found.device)
        return F.normalize(found.new_zeros(len(names), found.shape[1]).index_add_(0, owner, found), dim=1)

    # image tower ----------------------------------------------------------------------------------------------

    def _image_loss(self, batch: PictureBatch) -> torch.Tensor:
        images, rng = batch.images, batch.rng
        radius = self.config.radius_at(batch.part) * images.shape[-1] / 32
        if radius == 0:
            return self._loss(images, batch)
        delta = random_in_ball(images.shape, radius, rng).to(images.device).requires_grad_()
        loss = self._loss(images + delta, batch)
        (gradient,) = torch.autograd.grad(loss, delta)
        moved = project(delta.detach() + 1.25 * radius * unit(gradient), radius)
        return self._loss((images + moved).clamp(0, 1), batch)

    def _loss(self, images: torch.Tensor, batch: PictureBatch) -> torch.Tensor:
        """Cross-entropy over the words of the picture's own set, and over rival words and colours together.

        A picture whose hue was turned has no natural class any more ("banana" is yellow): it counts only in the second.
        """
        with self._autocast():
            features = self.clip.visual(normalize(images))
        features = F.normalize(features.float(), dim=1) * self._scale()
        logits = (features @ self.class_table.T).masked_fill(batch.hidden, -1e4)
        natural = ~batch.turned & (batch.attribute < len(COLORS))
        loss = F.cross_entropy(logits[natural], batch.labels[natural]) if natural.any() else logits.new_zeros(())
        named = batch.attribute >= 0
        if named.any():
            second = self._attribute_loss(
                features[named], batch.labels[named], batch.hidden[named], batch.attribute[named]
            )
            loss = loss + self.config.color_weight * second * named.float().mean()
        if batch.told is not None and natural.any():
            taught = F.cross_entropy((features @ self.taught_table.T)[natural], batch.told[natural])
            loss = loss + self.config.teacher_weight * taught
        return loss

    def _attribute_loss(self, features, labels, hidden, attribute) -> torch.Tensor:
        """One softmax over "a COLOR x" for every class x and "a y CLASS" for every other attribute y."""
        rows = torch.arange(len(features), device=features.device)
        # one product with the whole table costs less than gathering the rows that each picture needs
        found = (features @ self.attribute_table.flatten(0, 1).T).view(len(features), *self.attribute_table.shape[:2])
        by_class = found[rows, :, attribute].masked_fill(hidden, -1e4)  # same attribute, every class
        by_attribute = found[rows, labels]
        by_attribute = by_attribute.scatter(1, attribute[:, None], -1e4)  # the right one stands in by_class
        return F.cross_entropy(torch.cat((by_class, by_attribute), 1), labels)

    def _scale(self) -> torch.Tensor:
        return self.clip.logit_scale.exp().clamp(max=60)

    def _autocast(self):
        kind = self.clip.text_projection.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=kind in ("cpu", "cuda"))

    # results --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Zero-shot top-1 of the averaged tower on held-out pictures of one set; nothing before it is being trained."""
        if not len(self.class_table):
            return {}
        name, start, end = next(s for s in self.sets if s[1] <= int(batch.labels[0]) < s[2])
        logits = self._look(batch.images) @ self.class_table[start:end].T
        labels = batch.labels - start
        right = (logits.argmax(1) == labels).float().mean()
        scale = self._scale()
        return {"loss": F.cross_entropy(logits * scale, labels), f"top1_{name}": right}

    def export(self, folder: Path) -> None:
        """Write an open_clip model directory: fp16 safetensors and its configuration.

        A new image tower for a finished model's words can also be that one's referee, and is written as one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        finished = copy.deepcopy(self.clip)
        finished.visual.load_state_dict(self.averaged.state_dict())
        state = {n: t.half().contiguous() if t.is_floating_point() else t for n, t in finished.state_dict().items()}
        (folder / "open_clip_model.safetensors").write_bytes(save(state))
        preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
        config = {"model_cfg": self.config.model_cfg(), "preprocess_cfg": preprocess}
        (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n")
        if self.config.new_image:
            referee.export(folder, self.averaged, float(self._scale().detach()), config["model_cfg"], preprocess)

    def exports(self) -> dict[str, Exported]:
        """Both towers, each to unit embeddings; texts come as the tokens that open_clip's tokenizer makes."""
        images = pictures("images", self.config.channels, self.config.size, self.config.size)
        tokens = Port("tokens", (BATCH, self.config.context_length), 0, VOCABULARY - 1, whole=True)
        found = Port("embeddings", (BATCH, self.config.embed_dim), -1, 1)
        return {
            "image": Exported(self._look, (self.averaged,), (images,), (found,)),
            "text": Exported(self._read, (self.clip,), (tokens,), (found,)),
        }

    def _look(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in 0..1 to unit embeddings (B, D) by the averaged tower."""
        return F.normalize(self.averaged(normalize(images)), dim=1)

    def _read(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, L) to unit embeddings (B, D); unlike `encode_tokens` it does not look for padding to leave out."""
        return self.clip.encode_text(tokens, normalize=True)


def open_data(folder: Path, config: Config, seed: int, held_out: float | None) -> ClipData:
    return ClipData(folder, config, seed, held_out)


def normalize(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std


def random_in_ball(shape: torch.Size, radius: float, rng: torch.Generator) -> torch.Tensor:
    direction = unit(torch.randn(shape, generator=rng, device=rng.device))
    return direction * radius * torch.rand((shape[0], 1, 1, 1), generator=rng, device=rng.device)


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
