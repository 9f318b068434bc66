"""Every model that can be trained, by name: a new one is a file and a line."""

MODELS = {
    "adain": "artcli.backends.adain",
    "autoencoder": "artcli.backends.autoencoder",
    "clip": "artcli.backends.clip_mini",
    "cyclegan": "artcli.backends.cyclegan",
    "diffusion": "artcli.backends.diffusion",
    "painter": "artcli.backends.painter",
    "pix2pix": "artcli.backends.pix2pix",
    "upscaler": "artcli.backends.upscaler",
    "vae": "artcli.backends.vae",
    "vgg-slim": "artcli.backends.vgg_slim",
    "vqgan": "artcli.backends.vqgan",
    "vqvae": "artcli.backends.vqvae",
}
