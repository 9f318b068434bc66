"""CLIPs of other makes: what artgen does to them for speed leaves their embeddings alone."""

import copy

import open_clip
import pytest
import torch

from artcli.pretrained.clip import Clip


def test_a_vit_gives_the_same_embeddings_and_gradients_as_plain_open_clip():
    torch.manual_seed(0)
    vision = {"layers": 2, "width": 64, "head_width": 32, "patch_size": 8, "image_size": 32}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    plain = open_clip.model.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text).eval().requires_grad_(False)
    plain.visual.preprocess_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=16)
    ours = Clip(copy.deepcopy(plain), tokenizer, torch.device("cpu"), "tiny")
    ours.dtype = torch.float32
    batch = torch.rand(3, 3, 32, 32, requires_grad=True)
    expected = plain.encode_image((batch - 0.5) / 0.5)
    found = ours.encode_image(batch)
    assert torch.allclose(found, expected, atol=1e-5)
    for a, b in zip(torch.autograd.grad(found.sum(), batch), torch.autograd.grad(expected.sum(), batch), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("how", [{}, {"pool_type": "last"}, {"proj_bias": True}], ids=["short", "last", "biased"])
def test_texts_without_their_padding_are_the_same(how):
    """OpenAI's text tower skips the padding; others are read as open_clip reads them."""
    torch.manual_seed(0)
    vision = {"layers": 1, "width": 64, "head_width": 32, "patch_size": 8, "image_size": 32}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, **how}
    plain = open_clip.model.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text).eval().requires_grad_(False)
    plain.visual.preprocess_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=16)
    words = ["a cat", "", "a much longer text about a cat by the sea"]
    expected = plain.encode_text(tokenizer(words), normalize=True)
    found = Clip(plain, tokenizer, torch.device("cpu"), "tiny").encode_text(words)
    assert torch.allclose(found, expected, atol=1e-5)
