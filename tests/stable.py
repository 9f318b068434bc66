"""A tiny random Stable Diffusion, as diffusers saves it, of 32 pixels."""

import json
from pathlib import Path

import torch

SIDE, TOKENS = 32, 20
_LATENTS = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
    "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True,
}  # fmt: skip


def save(folder: Path, named: str = "PNDMScheduler", *, large: bool = False, inside: bool = False, **settings) -> Path:
    """named: the solver, of these settings.  large: an XL.  inside: a net for inpainting."""
    import diffusers
    from transformers import CLIPTextModelWithProjection

    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = {
            "unet": _net(large, 9 if inside else 4),
            "vae": _vae(),
            "text_encoder": _words(),
            "tokenizer": _tokenizer(folder.parent / f"{folder.name}-words"),
            "scheduler": solver(named, **settings),
        }
        if large:
            parts["tokenizer_2"] = parts["tokenizer"]
            parts["text_encoder_2"] = _words(CLIPTextModelWithProjection)
        else:
            parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    kind = diffusers.StableDiffusionXLPipeline if large else diffusers.StableDiffusionPipeline
    kind(**parts).save_pretrained(folder, safe_serialization=True)
    return folder


def solver(name: str, **settings):
    import diffusers

    kind = getattr(diffusers, name)
    known = kind.__init__.__wrapped__.__code__.co_varnames if hasattr(kind.__init__, "__wrapped__") else ()
    return kind(**{key: value for key, value in {**_LATENTS, **settings}.items() if key in known})


def _net(large: bool, channels: int):
    from diffusers import UNet2DConditionModel

    more = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4, "transformer_layers_per_block": 1}
    return UNet2DConditionModel(
        sample_size=SIDE // 2, in_channels=channels, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32 if large else 16, attention_head_dim=4, norm_num_groups=4,
        **(more | {"projection_class_embeddings_input_dim": 16 + 6 * 4} if large else {}),
    )  # fmt: skip


def _vae():
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, latent_channels=4,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, sample_size=SIDE,
    )  # fmt: skip


def _words(kind=None):
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(_vocabulary()), hidden_size=16, intermediate_size=16, num_hidden_layers=2, projection_dim=16,
        num_attention_heads=2, max_position_embeddings=TOKENS, bos_token_id=len(_vocabulary()) - 2,
        eos_token_id=len(_vocabulary()) - 1, pad_token_id=len(_vocabulary()) - 1,
    )  # fmt: skip
    return (kind or CLIPTextModel)(config)


def _vocabulary() -> dict[str, int]:
    """Letters, also at the end of a word, and where a text begins and ends."""
    letters = [chr(number) for number in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return {word: number for number, word in enumerate(words)}


def _tokenizer(folder: Path):
    from transformers import CLIPTokenizer

    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(_vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": TOKENS})
    )
    return CLIPTokenizer.from_pretrained(folder)
