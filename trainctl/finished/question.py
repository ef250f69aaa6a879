"""What is asked about a row: a number that a model computes from it, as a function of what can change gradually."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainctl.components.loss.base import Task
from trainctl.components.scale.base import Affine
from trainctl.data.schema import Schema
from trainctl.errors import ConfigError
from trainctl.finished.attribution import Score
from trainctl.settings.spelling import nearest
from trainctl.wording import amount

SCORES = ("log_odds", "logit", "probability")


@dataclass(frozen=True)
class Question:
    """What is asked about each row.

    Args:
        task: The model's task.
        kind: Of a class, ``log_odds``, ``logit`` or ``probability``.
        index: The class or target; None for the class that the model predicts for the row.
        unit: What the number is, in words.
        units: The scaling of a regression's targets; None if they are not scaled, or have none.
        centre: What is added to a regression's target when it is shown.
    """

    task: Task
    kind: str
    index: int | None
    unit: str
    units: Affine | None
    centre: float = 0.0

    def chosen(self, outputs: Tensor) -> Tensor:
        """Return the class or the target that is asked about ``(N,)``, for the outputs of the model for rows."""
        if self.index is not None:
            return torch.full((len(outputs),), self.index, device=outputs.device)
        return outputs.flatten(1).argmax(1)

    def answer(self, outputs: Tensor, chosen: Tensor, points: Tensor) -> Tensor:
        r"""Return the number that is explained ``(M,)``.

        The log-odds of class :math:`k` are :math:`\log p_k / (1 - p_k) = z_k - \log \sum_{j \ne k} e^{z_j}`. Unlike the
        logit :math:`z_k`, they do not depend on a number that is added to all logits, which no probability shows.

        Args:
            outputs: Of the model, for points.
            chosen: The class or target of each ``(M,)``.
            points: What the model received ``(M, *S)``.
        """
        if self.task == "reconstruction":
            return (outputs - points).flatten(1).square().mean(1)
        own = outputs.gather(1, chosen[:, None])[:, 0]
        if self.task == "regression":
            return own if self.units is None else self.units.inverse(outputs).gather(1, chosen[:, None])[:, 0]
        if self.kind == "log_odds":
            others = outputs.scatter(1, chosen[:, None], float("-inf"))
            return own - others.logsumexp(1)
        return own if self.kind == "logit" else outputs.softmax(1).gather(1, chosen[:, None])[:, 0]


def question(
    task: Task, schema: Schema, units: Affine | None, *, score: str | None, class_name: str, target: str
) -> Question:
    """Return what is asked, from the options of a command.

    Args:
        task: The model's task.
        schema: Of the run's data.
        units: The scaling of the targets, on the model's device.
        score: One of ``SCORES``, or None for the usual one.
        class_name: A class; empty for the one that is predicted.
        target: A target of a regression; empty for the first.

    Raises:
        ConfigError: If there is no such class or target, or an option does not belong to the task.
    """
    if class_name and task != "classification":
        raise ConfigError(f"class={class_name}: this run has no classes (its task is {task})")
    if score and task != "classification":
        raise ConfigError(f"score={score}: only a classification has scores to choose from (this run's task is {task})")
    if target and task != "regression":
        raise ConfigError(f"target={target}: only a regression has targets (this run's task is {task})")
    if task == "reconstruction":
        return Question(task, "", None, "the mean squared error of the reconstruction (scaled units)", None)
    if task == "classification":
        if len(schema.class_names) < 2:
            raise ConfigError("this run has only one class: there is nothing to explain")
        kind = score or "log_odds"
        index = _index("class", class_name, schema.class_names) if class_name else None
        asked = f"class {class_name}" if class_name else "the predicted class"
        return Question(task, kind, index, f"the {kind.replace('_odds', '-odds')} of {asked}", None)
    names = schema.target_names or tuple(map(str, range(schema.outputs)))
    index = _index("target", target, names) if target else 0
    return Question(
        task, "", index, f"{names[index]} [units of the target]", units,
        schema.target_centre[index] if schema.target_centre else 0.0,
    )  # fmt: skip


def _index(key: str, name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise ConfigError(f"{key}={name}: no such {key}{nearest(name, names)}")
    return names.index(name)


@dataclass(frozen=True)
class View:
    """A model as a function of points that can change gradually: scaled numbers, or the embeddings of tokens.

    Args:
        model: The model, in evaluation mode.
        embedding: The layer that reads token ids; None if rows are numbers.
    """

    model: nn.Module
    embedding: nn.Embedding | None

    def points(self, rows: Tensor) -> Tensor:
        """Return scaled rows ``(N, *shape)`` as points: themselves, or their embeddings ``(N, T, E)``."""
        return rows if self.embedding is None else self.embedding(rows).detach()

    def __call__(self, points: Tensor, rows: Tensor) -> Tensor:
        """Return the outputs of the model at points ``(M, *S)``.

        Args:
            points: The points.
            rows: The scaled rows to which they belong ``(M, *shape)``; the model reads the ends of texts from the ids.
        """
        if self.embedding is None:
            outputs: Tensor = self.model(points)
            return outputs
        hook = self.embedding.register_forward_hook(lambda *_: points)
        try:
            outputs = self.model(rows)
        finally:
            hook.remove()
        return outputs

    def score(self, asked: Question, rows: Tensor, chosen: Tensor) -> Score:
        """Return the function whose attributions are computed, for scaled rows ``(N, *shape)`` and their classes ``(N,)``."""

        def score(points: Tensor, indices: Tensor) -> Tensor:
            return asked.answer(self(points, rows[indices]), chosen[indices], points)

        return score


def view(model: nn.Module, schema: Schema) -> View:
    """Return a model as a function of points.

    Raises:
        ConfigError: If it reads tokens without an embedding of them.
    """
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # only the gradients of points are needed
    if not schema.vocabulary:
        return View(model, None)
    size = len(schema.vocabulary)
    found = [layer for layer in model.modules() if isinstance(layer, nn.Embedding) and layer.num_embeddings == size]
    if len(found) != 1:
        raise ConfigError(
            f"this model has {len(found)} embeddings of {amount(size, 'token')}: explain needs a torch.nn.Embedding that reads the"
            " tokens"
        )
    return View(model, found[0])


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Let recurrent layers have gradients in evaluation mode, which cuDNN's do not."""
    if not any(isinstance(layer, nn.RNNBase) for layer in model.modules()):
        yield
        return
    with torch.backends.cudnn.flags(enabled=False):
        yield
