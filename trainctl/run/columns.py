"""Match the columns or channels that the first layer of a model reads with those of the run that it starts from."""

from collections.abc import Mapping

from torch import Tensor

from trainctl.data.schema import Schema
from trainctl.run.parent import Parent


def matched(
    offered: Mapping[str, Tensor], own: Mapping[str, Tensor], first: str, schema: Schema, parent: Parent
) -> tuple[dict[str, Tensor], str]:
    """Return the offered weights with the inputs of the first layer in the order of the new columns or channels.

    Columns are matched by name; a new column keeps the new model's weights. A layer that reads colours gets a third of the
    weights of one that read grey, and the other way round their sum.

    Args:
        offered: The weights of the other run.
        own: Those of the new model.
        first: The layer that reads the rows.
        schema: The schema of the new run's data.
        parent: The other run.

    Returns:
        The weights, and how columns with other names or in another order were matched; empty if they are the same.
    """
    weights, name = dict(offered), f"{first}.weight"
    before, after = parent.schema.input_names, schema.input_names
    differ = bool(before and after and before != after)
    by_place = "the columns differ, and are taken in their order" if differ else ""
    if name not in weights or name not in own or weights[name].ndim < 2 or schema.vocabulary:
        return weights, by_place
    old, new = weights[name], own[name].cpu()
    if differ and old.shape[0] == new.shape[0] and (old.shape[1], new.shape[1]) == (len(before), len(after)):
        if not set(before) & set(after):
            return weights, by_place
        weights[name] = new.clone()
        for index, column in enumerate(after):
            if column in before:
                weights[name][:, index] = old[:, before.index(column)]
        unknown = len(set(after) - set(before))
        return weights, f"columns are matched by name{f', {unknown} of {len(after)} are new' if unknown else ''}"
    if not differ and old.ndim == 4 and old.shape[0] == new.shape[0] and old.shape[2:] == new.shape[2:]:
        if (old.shape[1], new.shape[1]) == (1, 3):
            weights[name] = old.repeat(1, 3, 1, 1) / 3
        elif (old.shape[1], new.shape[1]) == (3, 1):
            weights[name] = old.sum(1, keepdim=True)
    return weights, by_place
