"""What the tests of trainable models share: small pictures that can be learned, and a bare training loop."""

import torch

from artcli.training.contract import Batch


def pictures(count, size=16, channels=3, seed=0):
    """(count, channels, size, size) in 0..1: soft coloured slopes, each different."""
    coarse = torch.rand(count, channels, 2, 2, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)


def batch(images, labels=None, seed=0):
    """The whole batch of one process."""
    if labels is None:
        labels = torch.zeros(len(images), dtype=torch.long)
    return Batch(images, labels, 0, len(images), torch.Generator().manual_seed(seed))


def train_step(model, optimizers, step, whole, parts=1):
    """One step as the trainer makes it, in micro-batches; the losses by optimizer."""
    model.train()
    running = [(part, model.train_step(part)) for part in whole.split(parts)]
    losses = {}
    while True:
        due = [(len(part) / part.whole, next(losses_of, None)) for part, losses_of in running]
        if due[0][1] is None:
            break
        name = due[0][1][0]
        optimizers[name].zero_grad()
        total = sum(share * pair[1] for share, pair in due)
        total.backward()
        optimizers[name].step()
        losses[name] = total.item()
    if hasattr(model, "after_step"):
        model.after_step(step)
    return losses


def train(model, images, steps, labels=None, parts=1):
    """The losses of every step."""
    optimizers = model.optimizers()
    return [train_step(model, optimizers, s, batch(images, labels, seed=s), parts) for s in range(steps)]


def before_and_after(make, teach, measure, seeds=range(2)):
    """What is measured of models untaught and taught, a list each, one of every seed."""
    found = [(before, after) for before, after, _ in _taught(make, teach, measure, seeds)]
    return [float(before) for before, _ in found], [float(after) for _, after in found]


def assert_learns(make, teach, measure, seeds=range(2)):
    """Whatever its seed, a taught model has smaller errors than any untaught one.  Returns the last taught model.

    measure(model): an error, or several by name.  No threshold says by how much: that depends on the rounding of the
    processor.
    """
    found = list(_taught(make, teach, lambda model: _errors(measure(model)), seeds))
    untaught, taught, model = [f[0] for f in found], [f[1] for f in found], found[-1][2]
    for name in untaught[0]:
        before, after = ([errors[name] for errors in found] for found in (untaught, taught))
        assert max(after) < min(before), f"{name}: untaught {before}, taught {after}"
    return model


def _taught(make, teach, measure, seeds):
    """Of each seed what is measured before and after, and the model."""
    for seed in seeds:
        model = seeded(make, seed)
        before = measure(model)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            teach(model)
        yield before, measure(model), model


def _errors(measured):
    found = measured if isinstance(measured, dict) else {"error": measured}
    return {name: float(error) for name, error in found.items()}


def seeded(make, seed=0):
    """What `make` builds from torch's global generator at this seed, which is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def copies_of(model):
    """Every weight and buffer, as it is now."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
