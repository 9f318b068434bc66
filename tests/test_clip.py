"""CLIPs of other makes: what artgen does to them for speed leaves their embeddings alone."""

import copy
import json

import pytest
import torch
from safetensors.torch import save_file

from artcli.pretrained import clip
from artcli.pretrained.clip import Clip, library, load

open_clip = library()


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


def test_a_text_tower_of_transformers_is_read_where_it_is_installed(tmp_path, monkeypatch):
    """open_clip is imported as if transformers were not there, until such a tower is asked for."""
    transformers = pytest.importorskip("transformers")
    words, tower = tmp_path / "words", {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    transformers.BertConfig(vocab_size=8, intermediate_size=16, max_position_embeddings=16, **tower).save_pretrained(
        words
    )
    (words / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "car"]))
    vision = {"layers": 1, "width": 64, "head_width": 32, "patch_size": 8, "image_size": 32}
    text = {"hf_model_name": str(words), "hf_tokenizer_name": str(words), "hf_model_pretrained": False}
    text |= {"hf_proj_type": "linear", "hf_pooler_type": "mean_pooler", "context_length": 8}
    folder = tmp_path / "clip"
    transformers.BertTokenizer(str(words / "vocab.txt")).save_pretrained(folder)
    config = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}
    made = clip._with_any_tower(lambda: open_clip.model.CustomTextCLIP(**config))
    save_file(made.state_dict(), folder / "open_clip_model.safetensors")
    shown = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": shown}))
    monkeypatch.setattr(open_clip.hf_model, "transformers", None)
    assert load(str(folder), torch.device("cpu")).encode_text(["a red car"]).shape == (1, 8)
