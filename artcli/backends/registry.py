"""Every model that can be trained, by name: a new one is a file and a line."""

MODELS = {
    "autoencoder": "artcli.backends.autoencoder",
    "clip": "artcli.backends.clip_mini",
    "painter": "artcli.backends.painter",
    "upscaler": "artcli.backends.upscaler",
    "vae": "artcli.backends.vae",
    "vqgan": "artcli.backends.vqgan",
    "vqvae": "artcli.backends.vqvae",
}
