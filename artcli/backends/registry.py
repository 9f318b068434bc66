"""Every model that can be trained, by name: a new one is a file and a line."""

MODELS = {
    "autoencoder": "artcli.backends.autoencoder",
    "clip": "artcli.backends.clip_mini",
    "cyclegan": "artcli.backends.cyclegan",
    "painter": "artcli.backends.painter",
    "pix2pix": "artcli.backends.pix2pix",
    "upscaler": "artcli.backends.upscaler",
    "vae": "artcli.backends.vae",
    "vqgan": "artcli.backends.vqgan",
    "vqvae": "artcli.backends.vqvae",
}
