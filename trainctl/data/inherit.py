"""Read data for a run that starts from the weights of another one: in the other run's encoding, scaled as there.

Weights that were trained on inputs of one scaling mean nothing for inputs of another one. So where the inputs are of the
same kind, the new run uses the vocabulary, the cleaning and the scaling of the run that it starts from.
"""

from dataclasses import dataclass, replace

import torch

from trainctl.components.dataset.base import Dataset
from trainctl.data.centre import Centres
from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.fileformat.inferred import InferredLine

UNKNOWN = 1  # token id
TEXT_SETTINGS = ("level", "lowercase", "normalize")


@dataclass(frozen=True)
class Start:
    """The run from whose weights a run starts.

    Args:
        name: Its name, for messages.
        schema: The schema of its data.
        fitted: Its cleaning and scalings.
    """

    name: str
    schema: Schema
    fitted: Fitted


def centres(dataset: Dataset, start: Start) -> Centres:
    """Return the centres to subtract from a data set as it was read, where names are those of the run to start from."""
    before = start.schema
    return Centres(
        before.input_centre if before.input_centre and dataset.input_names == before.input_names else None,
        before.target_centre if before.target_centre and dataset.target_names == before.target_names else None,
    )


def encoded(dataset: Dataset, start: Start) -> Dataset:
    """Return a data set of texts in the vocabulary of the run that it starts from, if tokens are made in the same way."""
    vocabulary = start.schema.vocabulary
    same = all(getattr(dataset.encoding, key) == getattr(start.schema.encoding, key) for key in TEXT_SETTINGS)
    if not (dataset.vocabulary and vocabulary and same):
        return dataset
    codes = {token: code for code, token in enumerate(vocabulary)}
    new = torch.tensor([codes.get(token, UNKNOWN) for token in dataset.vocabulary])
    new[0] = 0  # padding
    return replace(dataset, inputs=new[dataset.inputs], vocabulary=vocabulary, learn=None)


def same_inputs(schema: Schema, start: Start) -> bool:
    """Return whether the scaling of the run to start from applies to rows of a schema.

    Images may differ in height and width if the scaling has a factor for each channel.
    """
    before = start.schema
    for key in ("input_names", "vocabulary", "input_centre"):
        if getattr(schema, key) != getattr(before, key):
            return False
    if schema.vocabulary:
        return True
    if schema.encoding.pixel_range != before.encoding.pixel_range or len(schema.input_shape) != len(before.input_shape):
        return False
    if schema.input_shape == before.input_shape:
        return True
    images = len(schema.input_shape) == 3 and schema.input_shape[0] == before.input_shape[0]
    return images and start.fitted.input_scale.factor.shape[-2:] == (1, 1)


def same_targets(schema: Schema, before: Schema) -> bool:
    """Return whether the outputs of a model mean the same for two schemas: the same classes in order, or the same targets."""
    keys = ("task", "outputs", "class_names", "target_centre")
    if any(getattr(schema, key) != getattr(before, key) for key in keys):
        return False
    return schema.task == "classification" or schema.target_names == before.target_names


def inherited(schema: Schema, own: Fitted, start: Start) -> Fitted:
    """Return the cleaning and scalings of a run: those of the run that it starts from, where they apply."""
    if not same_inputs(schema, start):
        return own
    keeps = same_targets(schema, start.schema) and own.target_scale is not None
    target_scale = start.fitted.target_scale if keeps else own.target_scale
    return Fitted(start.fitted.cleaner, start.fitted.input_scale, target_scale)


def described(schema: Schema, fitted: Fitted, start: Start) -> tuple[InferredLine, ...]:
    """Return which scaling is used, a line for the block at the start of a run."""
    if fitted.input_scale is start.fitted.input_scale:
        what = "vocabulary" if schema.vocabulary else "cleaning and scaling"
        return (("inputs", f"{what} of {start.name}, because its inputs are of the same kind"),)
    return (("inputs", f"not of the same kind as those of {start.name}, so cleaning and scaling are fitted anew"),)
