"""The catalogue: complete, readable, and made without torch."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from trainctl.command import list as catalogue
from trainctl.errors import ConfigError
from trainctl.settings import component, compose
from trainctl.settings.members import options

HOME = Path(__file__).parents[2]


@pytest.fixture
def listed(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)

    def run(*words):
        assert catalogue.main(words) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user's package with one component, and YAML for it."""
    write(tmp_path / "my_listed_package/__init__.py", "")
    write(
        tmp_path / "my_listed_package/schedule/sine.py",
        '''
        import torch


        def sine(*, period: int, total_steps: int):
            r"""Follow a sine.

            .. math::

                m(t) &= \\sin(t) \\quad\\text{if } t

            Args:
                period: Length of a period
                    [optimizer steps].
            """
        ''',
    )
    write(tmp_path / "conf/schedule/sine.yaml", "name: sine\nperiod: 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text).lstrip())


def members():
    return [(group, name) for group, names in options([]).items() for name in names]


def test_the_catalogue_holds_every_member_with_a_line_about_it(listed):
    rows = [re.split(r"\s{2,}", line) for line in listed().splitlines()[1:]]
    found = {(row[0], row[1]): row[-1] for row in rows if len(row) > 2}
    assert list(found) == members()
    assert len(found) > 35
    assert all(len(text) > 10 for text in found.values())


def test_the_catalogue_marks_the_default_run(listed):
    marked = [tuple(line.split()[:2]) for line in listed().splitlines()[1:] if re.match(r"\w+ +\w+ +\* ", line)]
    tree = compose.compose([]).tree
    chosen = [
        (group, tree[group]["name"] if "name" in tree[group] else next(iter(tree[group]))) for group in component.GROUPS
    ]
    assert sorted(marked) == sorted(chosen)


def test_a_group_shows_parameters_with_their_defaults(listed):
    line = next(line for line in listed("optimizer").splitlines() if line.startswith("sgd "))
    assert "gradient descent with momentum" in line
    assert "lr=0.1 momentum=0.9 dampening=0.0 nesterov=false" in line


def test_schedules_are_drawn_from_nothing_to_the_full_rate(listed):
    text = listed("schedule")
    curves = {line.split()[0]: re.findall("[▁▂▃▄▅▆▇█]{30}", line) for line in text.splitlines() if line}
    curves = {name: found[0] for name, found in curves.items() if found}
    assert set(curves) == set(component.names("schedule"))
    assert curves["none"] == "█" * 30
    assert curves["step"] == "█" * 10 + "▂" * 10 + "▁" * 10
    assert curves["multistep"] == "█" * 15 + "▂" * 7 + "▁" * 8
    assert curves["plateau"] == "█" * 12 + "▂" * 11 + "▁" * 7
    assert (curves["cosine"][0], curves["cosine"][-1]) == ("█", "▁")
    assert "with a metric that never improves" in text


def test_curves_are_drawn_in_ascii_where_blocks_cannot_be_printed():
    done = subprocess.run(
        [sys.executable, "-c", "from trainctl.command import list as verb; verb.main(['schedule'])"],
        capture_output=True, text=True, cwd=HOME, env={"PYTHONPATH": str(HOME), "PYTHONIOENCODING": "ascii"}, check=True,
    )  # fmt: skip
    assert "#" * 30 in done.stdout
    assert "\\u" not in done.stdout


def test_groups_that_add_up_say_so_and_others_do_not(listed):
    assert "regularizer=[l1,l2]" in listed("regularizer")
    assert "augment=[crop,flip]" in listed("augment")
    assert "[" not in listed("optimizer")


def test_regularizers_tell_where_the_others_are(listed):
    text = listed("regularizer")
    for place in ("model.dropout", "loss.label_smoothing", "optimizer.weight_decay", "loop.clip_norm"):
        assert place in text
    assert "loop.clip_norm" not in listed("model")


def test_a_member_shows_its_formula_without_directives_or_alignment(listed):
    assert (
        "    m(t) = (t + 1) / W                                  (t < W)\n"
        "    m(t) = f + (1 - f) ½ (1 + cos π (t - W)/(T - W))    (t ≥ W)\n"
    ) in listed("schedule", "cosine")


def test_a_formula_in_one_line_may_go_on_in_the_next(listed):
    assert "Σⱼ e^zⱼ),\n    qₖ = (1" in listed("loss", "cross_entropy")


def test_a_member_shows_name_default_range_and_meaning_of_each_parameter(listed):
    text = listed("schedule", "cosine")
    assert re.search(
        r"^schedule\.warmup_steps +0 +a whole number in \[0, inf\) +W \[optimizer steps\], less than",
        text,
        re.MULTILINE,
    )
    assert "total_steps" not in text
    assert re.search(r"^regularizer\.l1\.weight +0\.0001 ", listed("regularizer", "l1"), re.MULTILINE)


def test_a_member_shows_source_files_and_command(listed):
    text = listed("model", "cnn")
    assert "\nSource: Y. LeCun et al." in text
    assert f"YAML: {HOME / 'conf/model/cnn.yaml'}" in text
    assert f"Code: {HOME / 'trainctl/components/model/cnn.py'}" in text
    assert "Use:  trainctl model=cnn 'model.channels=[32,64]'" in text
    assert "trainctl 'augment=[flip,crop]'" in listed("augment", "flip")


@pytest.mark.parametrize(("group", "name"), members())
def test_every_member_is_shown_without_marks_or_escape_codes(listed, group, name):
    text = listed(group, name)
    assert f"{group}={name}" in text
    assert not re.search(r"\x1b|``|:math:|\.\. math|\\q?quad|&|>>>|\\left\(|Args:", text)


@pytest.mark.parametrize(("group", "name"), [pair for pair in members() if pair[0] != "recipe"])
def test_every_parameter_has_a_default_and_a_meaning(listed, group, name):
    path = component.source(group, name)
    parameters = component.signature(path).parameters
    rows = [re.split(r"\s{2,}", line) for line in listed(group, name).splitlines()]
    found = {row[0].rpartition(".")[2]: row for row in rows if row[0].startswith(f"{group}.") and len(row) == 4}
    assert set(found) == set(parameters)
    assert "-" not in [cell for row in found.values() for cell in row]


def test_a_recipe_shows_its_header_and_its_yaml(listed):
    text = listed("recipe", "mnist_cnn")
    assert "The classic small convolutional network" in text
    assert "\n    loop:\n      epochs: 10\n" in text
    assert "@package" not in text
    assert re.search(r"^mnist_cnn +The classic small", listed("recipe"), re.MULTILINE)


def test_own_components_are_listed_with_their_file(listed, mine):
    words = ["components=[my_listed_package]"]
    assert re.search(r"^schedule +sine +Follow a sine\. \[conf/schedule/sine\.yaml\]$", listed(*words), re.MULTILINE)
    assert re.search(
        r"^sine +Follow a sine\. \[conf/schedule/sine\.yaml\] +period=7$", listed("schedule", *words), re.MULTILINE
    )
    text = listed("schedule", "sine", *words)
    assert re.search(
        r"^schedule\.period +7 +a whole number +Length of a period \[optimizer steps\]\.$", text, re.MULTILINE
    )
    assert "\n    m(t) = sin(t)    if t\n" in text
    assert "Code: my_listed_package/schedule/sine.py" in text


def test_a_preset_of_the_user_shows_its_own_defaults_and_those_it_takes_over(listed, tmp_path):
    write(tmp_path / "conf/optimizer/slow.yaml", "defaults: [adam]\nlr: 1.0e-05\n")
    text = listed("optimizer", "slow")
    assert re.search(r"^optimizer\.lr +1e-05 ", text, re.MULTILINE)
    assert re.search(r"^optimizer\.beta1 +0\.9 ", text, re.MULTILINE)


def test_a_broken_file_of_the_user_is_named_and_hides_nothing(listed, tmp_path):
    write(tmp_path / "conf/optimizer/broken.yaml", "{a: [")
    text = listed()
    assert re.search(r"^optimizer +broken +conf/optimizer/broken\.yaml, line 2: not valid YAML", text, re.MULTILINE)
    assert "tensorboard" in text
    with pytest.raises(ConfigError, match=r"conf/optimizer/broken\.yaml, line 2: not valid YAML"):
        catalogue.main(["optimizer", "broken"])


def test_a_component_without_code_is_an_error_that_says_where_it_was_looked_for(listed, tmp_path):
    write(tmp_path / "conf/optimizer/tiger.yaml", "name: tiger\n")
    with pytest.raises(ConfigError, match=r"conf/optimizer/tiger\.yaml: name=tiger: no such optimizer in trainctl"):
        catalogue.main(["optimizer", "tiger"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimiser"], "optimiser: no such group; did you mean optimizer?"),
        (["optimizer", "adm"], "adm: no such optimizer; did you mean adam?"),
        (["optimizer", "adam", "lr"], "lr: unexpected argument"),
        (["component=[x]"], "component=[x]: no such option; did you mean components?"),
        (["components=[no_such_package]"], "components=[no_such_package]: no such package"),
        (["components=['']"], "components=['']: no such package"),
        (["components=[encodings]"], "components=[encodings]: the package has no components"),
    ],
)
def test_what_does_not_exist_is_answered_with_the_nearest(words, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        catalogue.main(words)


def test_the_help_is_plain_and_narrow():
    assert "trainctl list" in catalogue.__doc__
    assert max(map(len, catalogue.__doc__.splitlines())) < 80


def test_it_imports_no_torch_and_a_component_is_not_executed(mine):
    code = "import sys; from trainctl.command import list as verb; verb.main(sys.argv[1:]);"
    code += "assert 'torch' not in sys.modules"
    words = ["schedule", "sine", "components=[my_listed_package]"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words],
        capture_output=True, text=True, cwd=mine, env={"PYTHONPATH": f"{HOME}:{mine}"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "Follow a sine." in done.stdout
