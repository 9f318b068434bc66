"""How far the crops are from the prompts (Crowson et al., 2022, section 3)."""

import torch
import torch.nn.functional as F

from artcli.backends.dream.prompts import Prompt

SOFTNESS = 0.25  # of the contrast loss: at CLIP's own scale it is all but zero long before the picture is done


class _ReplaceGradient(torch.autograd.Function):
    """Forward the first argument, send the gradient to the second."""

    @staticmethod
    def forward(ctx, shown, steered):  # type: ignore[override]
        ctx.shape = steered.shape
        return shown

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[override]
        return None, gradient.sum_to_size(ctx.shape)


def distance(features: torch.Tensor, target: torch.Tensor, kind: str) -> torch.Tensor:
    """Distance of unit features (N, D) to a unit target (D,): squared great-circle distance, or 1 - cosine.

    spherical is 2 arcsin(|u - v| / 2)^2, in 0..pi^2 / 2; cosine is in 0..2.
    """
    if kind == "cosine":
        return 1 - features @ target
    chord = (features - target).norm(dim=1) / 2
    return 2 * chord.clamp(max=1 - 1e-6).arcsin().square()


def contrast(features: torch.Tensor, target: torch.Tensor, rivals: torch.Tensor, scale: float) -> torch.Tensor:
    """Cross-entropy of finding the target (D,) among the rivals (R, D), for unit features (N, D); 0 and above.

    scale: what CLIP multiplies its cosines with (Radford et al., 2021, section 2.3).
    """
    logits = scale * features @ torch.cat((target[None], rivals)).T
    return logits.logsumexp(1) - logits[:, 0]


def prompt_loss(
    features: torch.Tensor,
    target: torch.Tensor,
    prompt: Prompt,
    kind: str,
    rivals: torch.Tensor | None = None,
    scale: float = 1.0,
) -> torch.Tensor:
    """|w| times the mean over the crops of the signed distance; below `stop` there is no pull any more.

    features: (N, D), any length.  target: (D,), unit length.  kind: `spherical`, `cosine`, or `contrast` with its
    rivals (R, D) and scale.
    """
    unit = F.normalize(features, dim=1)
    far = distance(unit, target, kind) if rivals is None else contrast(unit, target, rivals, scale)
    signed = far * (1 if prompt.weight > 0 else -1)
    stopped = _ReplaceGradient.apply(signed, torch.maximum(signed, torch.tensor(prompt.stop, device=signed.device)))
    return abs(prompt.weight) * stopped.mean()
