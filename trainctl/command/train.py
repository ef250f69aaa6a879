"""Train a model; a sweep with -m.

    trainctl [train] [overrides] [--config-dir DIR] [-m]

`trainctl` alone trains the default run. Overrides choose members of groups and set any key:

    trainctl optimizer=adam schedule=cosine     members; see `trainctl list`
    trainctl optimizer.lr=3e-4 loop.epochs=50   settings; see `trainctl --cfg job`
    trainctl augment=[crop,flip]                groups whose members add up
    trainctl recipe=mnist_cnn seed=1            a recipe, changed
    trainctl loop.max_time=10m                  a budget by the clock
    trainctl -m optimizer=adam,sgd seed=0,1,2   a sweep of six trials

The run's directory goes below `output.root` (./runs): configuration, metrics.jsonl, checkpoints, plots,
summary.json. Ctrl-C saves and says how to go on; a second Ctrl-C leaves at once.
"""

from collections.abc import Sequence


def main(arguments: Sequence[str], config_dir: str | None = None, *, multirun: bool = False) -> int:
    """Check the configuration, then import torch and train."""
    from trainctl.settings import compose

    if multirun:
        points = compose.compose_points(arguments, config_dir)
        from trainctl.sweep import trials

        return trials.sweep(points, arguments)
    checked = compose.compose(arguments, config_dir)
    from trainctl.train import session

    session.begin(checked, arguments)
    return 0
