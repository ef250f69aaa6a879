"""One-line breakages that the tests must catch; `make mutate` applies them. Data only, see tests/mutate.py."""

from typing import NamedTuple


class Mutation(NamedTuple):
    """A breakage.

    Args:
        file: Path from the repository's root.
        old: Text that stands in the file exactly once.
        new: What it is replaced by.
        tests: pytest's arguments: the selection that must fail.
    """

    file: str
    old: str
    new: str
    tests: str


MUTATIONS = [
    Mutation(
        "trainctl/scale/standard.py",
        "shift_and_divide(*moments(values))",
        "shift_and_divide(*reversed(moments(values)))",
        "tests/scale/test_standard.py",
    ),
    Mutation(
        "trainctl/schedule/cosine.py",
        "return (step + 1) / warmup_steps",
        "return step / warmup_steps",
        "tests/schedule/test_cosine.py",
    ),
    Mutation(
        "trainctl/early_stopping/patience.py",
        "waited >= patience",
        "waited > patience",
        "tests/early_stopping/test_patience.py",
    ),
    Mutation(
        "trainctl/schema.py",
        'above = value >= low if match[1] == "["',
        'above = value >= low if match[1] == "("',
        "tests/test_schema.py",
    ),
    # What a resumed run needs.
    Mutation(
        "trainctl/checkpoint.py",
        '    run.sums.sums.copy_(tensors["sums"])\n',
        "",
        "tests/test_resume.py",
    ),
    Mutation(
        "trainctl/checkpoint.py",
        '    device.restore_random_states(_part(tensors, "random."), run.device)\n',
        "",
        "tests/test_resume.py",
    ),
    Mutation(
        "trainctl/checkpoint.py",
        '    state.stopping = Stopping(**numbers["stopping"])\n',
        "",
        "tests/test_resume.py",
    ),
    Mutation(
        "trainctl/loop.py",
        "order.split(plan.batch_size)[position:]",
        "order.split(plan.batch_size)",
        "tests/test_resume.py",
    ),
    Mutation(
        "trainctl/step.py",
        "generator.manual_seed(derive(config.seed, run.state.step))",
        "generator.seed()",
        "tests/test_resume.py",
    ),
    # What a checkpoint promises.
    Mutation(
        "trainctl/checkpoint.py",
        'if manifest.get("sha256") != _digest(manifest):',
        "if False:",
        "tests/test_checkpoint.py",
    ),
    Mutation(
        "trainctl/checkpoint.py",
        "if OURS.fullmatch(path.name) and path.name not in named:",
        "if path.name not in named:",
        "tests/test_checkpoint.py",
    ),
    # What a step computes, and when the loop looks.
    Mutation(
        "trainctl/step.py",
        "backward(x, y, len(x) / rows)",
        "backward(x, y, 1 / parts)",
        "tests/test_loop.py",
    ),
    Mutation(
        "trainctl/loop.py",
        "if not math.isnan(value) and (",
        "if (",
        "tests/test_loop.py",
    ),
    Mutation(
        "trainctl/assemble.py",
        "if parameter.ndim > 1 or decay_norm_and_bias",
        "if parameter.ndim > 0 or decay_norm_and_bias",
        "tests/test_loop.py",
    ),
    Mutation(
        "trainctl/splits.py",
        "pool = pool[torch.sort(dataset.targets[pool], stable=True).indices]",
        "pool = pool[:]",
        "tests/test_splits.py",
    ),
    # What training rows teach, and nothing else does.
    Mutation(
        "trainctl/clean/base.py",
        "values = dataset.inputs[train]",
        "values = dataset.inputs",
        "tests/clean/test_contract.py",
    ),
    Mutation(
        "trainctl/dataset/text.py",
        "dataset.inputs[train].tolist()",
        "dataset.inputs.tolist()",
        "tests/dataset/test_text.py",
    ),
    Mutation(
        "trainctl/dataset/series.py",
        "gap_rows=horizon - 1",
        "gap_rows=0",
        "tests/dataset/test_series.py",
    ),
    Mutation(
        "trainctl/fileformat/cifar.py",
        'raise pickle.UnpicklingError(f"asks for {module}.{name}, which an array does not need") from None',
        "return super().find_class(module, name)",
        "tests/fileformat/test_cifar.py",
    ),
    # What the user is told.
    Mutation(
        "trainctl/cli.py",
        "return complain(str(error), error.exit_code)",
        "return complain(str(error), 1)",
        "tests/test_cli.py",
    ),
    Mutation(
        "trainctl/compose.py",
        "elif override.is_sweep_override() and not sweep:",
        "elif False:",
        "tests/test_cli.py",
    ),
    Mutation(
        "trainctl/session.py",
        'evaluate(run, "test") if split == "test" else {}',
        'evaluate(run, "val")',
        "tests/test_training.py -k default_run",
    ),
]
