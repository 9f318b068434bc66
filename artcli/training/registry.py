"""Every model that can be trained, by name: a new one is a file and a line."""

MODELS = {
    "adain": "artcli.models.adain",
    "autoencoder": "artcli.models.autoencoder",
    "clip": "artcli.models.clip.model",
    "cyclegan": "artcli.models.cyclegan",
    "dcgan": "artcli.models.dcgan",
    "diffusion": "artcli.models.diffusion",
    "gan": "artcli.models.gan",
    "painter": "artcli.models.painter.model",
    "pix2pix": "artcli.models.pix2pix",
    "prior": "artcli.models.prior",
    "stylegan": "artcli.models.stylegan",
    "upscaler": "artcli.models.upscaler",
    "vae": "artcli.models.vae",
    "vgg-slim": "artcli.models.vgg_slim",
    "vqgan": "artcli.models.vqgan",
    "vqvae": "artcli.models.vqvae",
    "vqvae2": "artcli.models.vqvae2",
    "wgan-gp": "artcli.models.wgan_gp",
}
SECOND_STAGES = ("prior",)  # which learn the codes of a finished model: its run, file or name stands before the data
