"""Write a recipe, to be edited, into the current directory, with the small files that it uses.

    trainctl init [RECIPE] [output=FILE.yaml]

RECIPE is one of `trainctl list recipe`; without it, the settings of the default run are written. The file is called
RECIPE.yaml, or train.yaml for the default run; output= gives it another name. The command prints the line that trains
with it. Nothing is overwritten.

    trainctl init
    trainctl init csv_with_missing_values
    trainctl init transfer_photos
    trainctl init mnist_cnn output=my_cnn.yaml
"""

from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments
from trainctl.errors import ConfigError
from trainctl.fileformat.place import open_regular
from trainctl.report import table
from trainctl.settings import starter
from trainctl.settings.members import options, overlays
from trainctl.settings.spelling import no_such
from trainctl.store.new_files import write_new
from trainctl.wording import shell_words

OPTIONS = {"output": ""}
DEFAULT = "train.yaml"
LARGEST = 10_000_000  # bytes of a file that is copied


def main(argv: Sequence[str]) -> int:
    """Write the files; return the exit code.

    Raises:
        ConfigError: If there is no such recipe, or a file exists already.
    """
    parsed = arguments.parse(argv, OPTIONS, most_names=1)
    recipes = options(overlays())["recipe"]
    name = parsed.names[0].removeprefix("recipe=") if parsed.names else None
    if name is not None and name not in recipes:
        raise ConfigError(f"{name}: {no_such('recipe', name, recipes)}")
    target = Path(parsed.options["output"] or (f"{name}.yaml" if name else DEFAULT))
    if target.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"output={target}: expected a name that ends in .yaml")
    shown = shell_words([str(target)])
    text, others = starter.copied_recipe(recipes[name], shown) if name else (starter.default_recipe(shown), [])
    wanted = {target: text.encode()}
    for other in others:
        with open_regular(other, ConfigError) as file:
            wanted[target.with_name(other.name)] = file.read(LARGEST)
    for path in write_new(wanted):
        table.line(f"wrote {path}")
    table.line(f"to train with it: trainctl {shown}")
    return 0
