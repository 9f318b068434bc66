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
    """What is measured of untaught models, a list, one of every seed, and of the first of them when it is taught."""
    before, after, _ = _taught(make, teach, measure, seeds)
    return [float(each) for each in before], float(after)


def assert_learns(make, teach, measure, seeds=range(2)):
    """A taught model has smaller errors than an untaught one of any of these seeds.  Returns it.

    measure(model): an error, or several by name.  No threshold says by how much: that depends on the rounding of the
    processor.
    """
    untaught, taught, model = _taught(make, teach, lambda model: _errors(measure(model)), seeds)
    for name, after in taught.items():
        before = [errors[name] for errors in untaught]
        assert after < min(before), f"{name}: untaught {before}, taught {after}"
    return model


def _taught(make, teach, measure, seeds):
    """What is measured of untaught models, one of every seed, and of the first of them when it is taught; that one."""
    models = [seeded(make, seed) for seed in seeds]
    before = [measure(model) for model in models]
    with torch.random.fork_rng():
        torch.manual_seed(seeds[0])
        teach(models[0])
    return before, measure(models[0]), models[0]


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
