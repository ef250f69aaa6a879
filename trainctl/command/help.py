"""What `trainctl --help` shows: examples, groups, settings, verbs."""

from collections.abc import Sequence

import yaml

from trainctl.settings import compose
from trainctl.settings import members as catalogue

HEAD = """\
trainctl trains networks from composable YAML groups.

  trainctl                                  the default run
  trainctl optimizer=sgd schedule=cosine    other members of the groups
  trainctl optimizer.lr=0.01 seed=1         any setting
  trainctl recipe=mnist_cnn                 a recipe
  trainctl -m optimizer=adam,sgd seed=0,1   a sweep"""

FOOT = """\
== Verbs ==
  train resume verify reproduce evaluate predict find-lr find-batch-size profile list runs compare
  (trainctl VERB --help tells more)

Hydra's flags: --cfg job [--resolve], --info, -m, --config-dir DIR, --version, --shell-completion install=bash.
Exit codes: 0 done, 2 configuration, 3 data, 4 checkpoint, 5 storage, 6 loss not finite, 7 device, memory or
package missing, 8 failed trials, 130 Ctrl-C, 143 SIGTERM."""


def text(overrides: Sequence[str], config_dir: str | None) -> str:
    """Return the help; written here because Hydra's own takes 0.3 s longer.

    Raises:
        ConfigError: If the overrides, whose settings are shown, are wrong.
    """
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # a tenth of the time, where libyaml is at hand
    settings = yaml.dump(compose.compose(overrides, config_dir), Dumper=dumper, sort_keys=False, allow_unicode=True)
    members = catalogue.options(catalogue.overlays(config_dir))
    groups = "\n".join(f"{group}: {', '.join(found)}" for group, found in sorted(members.items()))
    title = f"== Settings of trainctl {' '.join(overrides)} ==" if overrides else "== Settings of the default run =="
    choose = "== Groups ==\nChoose with group=name; trainctl list GROUP tells more."
    return f"{HEAD}\n\n{choose}\n\n{groups}\n\n{title}\n\n{settings.rstrip()}\n\n{FOOT}"
