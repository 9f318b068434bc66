"""Learning rates over a run."""


def trapezoid(step: int, total: int, rise: int = 0, fall: float = 0.25) -> float:
    """Factor of the rate at a step of `total`: up from 0 in `rise` steps, level, down to 0 in the last part `fall`.

    Like a running mean of the weights, the decay averages out the noise of single steps; it needs no second set of
    BatchNorm statistics.
    """
    up = (step + 1) / (rise + 1)
    down = (total - step) / max(1.0, fall * total)
    return max(0.0, min(1.0, up, down))
