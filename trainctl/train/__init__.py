"""One run from its first step to `summary.json`; called as a function, ``trainctl.train(...)`` trains a run.

Python gives a package's modules and its functions one set of names, and `import trainctl.train.loop` makes `train` this
module. So the module itself can be called.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *words: str, **options: Any) -> Any:
        return import_module("trainctl.api.training").train(*words, **options)

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        return signature(import_module("trainctl.api.training").train)


sys.modules[__name__].__class__ = _Callable
