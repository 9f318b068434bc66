"""Start values of layers."""

from torch import nn


def he(net: nn.Module, slope: float = 0.0) -> None:
    """Weights that keep the variance through (leaky) ReLU layers, biases 0 (He et al., 2015).

    PyTorch's default loses a factor of 2.4 in every such layer: after a dozen the picture has drowned in the biases,
    and training begins with a plateau at the mean picture.  slope: of the leaky ReLU.
    """
    for layer in net.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=(2 / (1 + slope**2) / _fan_in(layer)) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _fan_in(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """How many inputs one output number sums, on average."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    taps = layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
    return taps / (layer.stride[0] * layer.stride[1]) if isinstance(layer, nn.ConvTranspose2d) else taps


def normal(net: nn.Module, std: float = 0.02) -> None:
    """Weights from N(0, std), scales of BatchNorm from N(1, std), biases 0, as GANs begin (Radford et al., 2015)."""
    for layer in net.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=std)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, std)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
