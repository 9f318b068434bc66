"""What the picture is drawn towards, as unit embeddings: words, pictures, or a random direction."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from artcli.backends.dream.cutouts import Cutouts
from artcli.backends.dream.prompts import Prompt
from artcli.errors import UsageError
from artcli.media import files, images
from artcli.pretrained.clip import Clip

Target = tuple[Prompt, torch.Tensor]  # a prompt and its unit embedding (D,)


def texts(clip: Clip, prompts: Sequence[Prompt]) -> list[Target]:
    if not prompts:
        return []
    return list(zip(prompts, clip.encode_text([p.text for p in prompts]), strict=True))


@torch.no_grad()
def image(clip: Clip, prompt: Prompt) -> Target:
    """A picture file: the mean embedding of 32 random crops, so that framing and position do not matter.

    Raises UsageError when the file is missing or no picture.
    """
    path = files.home(prompt.text)
    files.check_input(path)
    picture = images.to_tensor(images.load(path))[None].to(clip.device)
    crops = Cutouts(32, clip.side)(picture, torch.Generator().manual_seed(0))
    features = F.normalize(clip.encode_image(crops), dim=1)
    return prompt, F.normalize(features.mean(0), dim=0)


def noise(clip: Clip, prompt: Prompt) -> Target:
    """A random direction; its text is the seed.  Raises UsageError when that is no number."""
    if not (prompt.text.isascii() and prompt.text.isdigit() and int(prompt.text) < 2**63):
        raise UsageError(f"--noise-prompt '{prompt.text}' has to start with a seed, such as 7 or 7:0.5")
    size = clip.encode_text(["x"]).shape[1]
    direction = torch.randn(size, generator=torch.Generator().manual_seed(int(prompt.text)))
    return prompt, F.normalize(direction, dim=0).to(clip.device)
