"""Cuts objects out with torchvision's Mask R-CNN (He et al., "Mask R-CNN", 2017), when its weights are given."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import torch

from artcli import weights
from artcli.errors import UsageError, WeightsError
from artcli.training.data.items import Array

_LEAST_SCORE = 0.5
_SHORT_SIDE, _LONG_SIDE = 480, 800  # pixels of the search; the paper's 800 and 1333 take three times as long


class MaskRCNN:
    """maskrcnn_resnet50_fpn with 91 COCO classes.  Raises WeightsError: the file is missing or holds another net."""

    def __init__(self, path: Path):
        from torchvision.models.detection import maskrcnn_resnet50_fpn

        self.model = maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, min_size=_SHORT_SIDE, max_size=_LONG_SIDE
        ).eval()
        try:
            self.model.load_state_dict(weights.load_state(path))
        except RuntimeError as error:
            raise WeightsError(f"{path} is not torchvision's maskrcnn_resnet50_fpn: other tensors.") from error
        self._lock = threading.Lock()  # pictures are decoded by several threads; one search fills the machine

    def find(self, rgb: Array) -> Array:
        """(H, W, 3) uint8 to the mask of the main object, (H, W) float32 in 0..1.  Raises UsageError: none is seen."""
        image = torch.from_numpy(rgb.astype(np.float32) / 255).permute(2, 0, 1)
        with self._lock, torch.inference_mode():
            (found,) = self.model([image])
        return main_object(found)


def main_object(found: dict[str, torch.Tensor]) -> Array:
    """Of scores (N,) and masks (N, 1, H, W) the mask that is large and sure.  Raises UsageError: none is sure."""
    sure = found["scores"] >= _LEAST_SCORE
    if not sure.any():
        raise UsageError("Mask R-CNN sees no object in it")
    masks, scores = found["masks"][sure, 0], found["scores"][sure]
    return masks[(masks.sum((1, 2)) * scores).argmax()].numpy()
