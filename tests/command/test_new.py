"""What trainctl writes to start from runs at once, says how, and never takes the place of a file."""

import ast

import pytest
import yaml

from trainctl.run import assemble
from trainctl.settings import component, compose, project, starter, trust_store
from trainctl.settings.members import home, options

SMALL = ["device=cpu", "loop.max_steps=2", "output.plots=false"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# init


def test_a_recipe_is_written_with_its_data_and_trains_from_there(here, say):
    code, out, _ = say("init", "csv_with_missing_values")
    assert (code, out.splitlines()[-1]) == (0, "to train with it: trainctl csv_with_missing_values.yaml")
    assert files(here) == ["csv_with_missing_values.yaml", "wine_with_gaps.csv"]
    code, out, _ = say("csv_with_missing_values.yaml", "loop.epochs=1", *SMALL[:1], "output.plots=false")
    assert code == 0
    assert "wine_with_gaps" in out
    assert say("init", "csv_with_missing_values")[0] == 2


def test_a_written_recipe_composes_what_the_recipe_composes(here, say):
    for name in ("csv_with_missing_values", "overfit_and_cure", "mnist_cnn", "digits_sgd_one_sample"):
        assert say("init", name, f"output={name}.yaml")[0] == 0
        expected = compose.compose([f"recipe={name}"]).tree
        from trainctl.settings import from_file

        found = compose.compose(from_file.expanded(f"{name}.yaml", []).words).tree
        expected["dataset"].pop("path", None)
        found["dataset"].pop("path", None)
        assert found == expected


def test_without_a_name_the_default_run_is_written_with_the_meaning_of_its_settings(here, say):
    assert say("init")[0] == 0
    text = (here / "train.yaml").read_text()
    assert text.startswith("# @package _global_\n# trainctl train.yaml\n")
    assert "batch_size: 32             # samples per step" in text
    from trainctl.settings import from_file

    assert compose.compose(from_file.expanded("train.yaml", []).words).tree == compose.compose([]).tree
    (here / "recipes").mkdir()
    (here / "train.yaml").rename(here / "recipes" / "mine.yaml")
    assert compose.compose(["recipe=mine"]).tree == compose.compose([]).tree


def test_nothing_is_overwritten_and_nothing_is_half_written(here, say):
    (here / "wine_with_gaps.csv").write_text("mine\n")
    code, out, err = say("init", "csv_with_missing_values")
    assert (code, out) == (2, "")
    assert "wine_with_gaps.csv: file already exists; nothing is overwritten" in err
    assert files(here) == ["wine_with_gaps.csv"]
    for words, message in (
        (["init", "mnist_cn"], "did you mean mnist_cnn?"),
        (["init", "overfit", "output=x.txt"], "ends in .yaml"),
        (["init", "overfit", "output=wine_with_gaps.csv/x.yaml"], "cannot create directory"),
    ):
        assert message in say(*words)[2]


@pytest.mark.parametrize("name", ["csv_with_missing_values", "text_names"])
def test_the_data_of_a_recipe_are_found_wherever_trainctl_is_installed(here, name):
    path = compose.compose([f"recipe={name}"]).parts["dataset"]["path"]
    assert path.startswith(str(home("recipes")))


# new


@pytest.mark.slow
@pytest.mark.parametrize("group", component.GROUPS)
def test_a_new_component_of_each_group_is_accepted(here, say, group):
    template = starter.like(group)
    code, out, err = say("new", group, "mine")
    assert code == 0, err
    word = f"{group}=[mine]" if group in component.ADDITIVE else f"{group}=mine"
    assert out.splitlines()[-1].endswith(f"trainctl {word}" if "[" not in word else f"trainctl '{word}'")
    assert files(here) == [
        f"conf/{group}/mine.yaml",
        f"my_components/{group}/mine.py",
        f"tests/{group}/test_mine.py",
        "trainctl.yaml",
    ]
    found = project.composed([word])[0]
    settings = found.parts[group]["mine"] if group in component.ADDITIVE else found.parts[group]
    theirs = compose.compose([f"{group}=[{template}]" if group in component.ADDITIVE else f"{group}={template}"]).parts[
        group
    ]
    assert settings == (theirs[template] if group in component.ADDITIVE else theirs) | {"name": "mine"}
    ast.parse((here / "tests" / group / "test_mine.py").read_text())
    assert f"def {template}(" not in (here / "my_components" / group / "mine.py").read_text()


def test_a_new_schedule_trains(here, say):
    assert say("new", "schedule", "halving_mine", "package=package_of_halving")[0] == 0
    code, out, err = say("schedule=halving_mine", *SMALL)
    assert code == 0, err
    assert "trainctl.yaml: 'components=[package_of_halving]'" in out


def test_every_member_can_be_the_start_of_a_new_one():
    for group in component.GROUPS:
        for name in options([])[group]:
            if name != "none" and component.source(group, name):
                tree = ast.parse(starter.component_code(group, "mine", name))
                assert any(isinstance(node, ast.FunctionDef) and node.name == "mine" for node in tree.body)
                assert yaml.safe_load(starter.component_yaml(group, "mine", name, "x"))["name"] == "mine"


def test_a_second_component_joins_the_project_and_keeps_its_file(here, say):
    (here / "trainctl.yaml").write_text("seed: 3  # mine\n")
    assert say("new", "model", "narrow", "like=mlp")[0] == 0
    assert (here / "trainctl.yaml").read_text() == "seed: 3  # mine\ncomponents: [my_components]\n"
    assert say("new", "loss", "sharp")[0] == 0
    assert (here / "trainctl.yaml").read_text().count("components:") == 1
    assert project.composed(["model=narrow", "loss=sharp"])[0].seed == 3


def test_a_package_that_was_there_before_is_not_trusted_by_writing_beside_it(here, say):
    (here / "my_components").mkdir()
    (here / "my_components" / "__init__.py").write_text("raise SystemExit('executed')\n")
    code, out, _ = say("new", "schedule", "halving")
    assert code == 0
    assert "to allow its code, run `trainctl trust`" in out
    assert not trust_store.store().exists()
    assert say("schedule=halving", "--cfg", "job")[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["new"], "expected a group and a name"),
        (["new", "schedul", "x"], "did you mean schedule?"),
        (["new", "schedule"], "expected a name, such as trainctl new schedule my_schedule"),
        (["new", "schedule", "cosine"], "there is a schedule of this name already"),
        (["new", "schedule", "class"], "expected a name of letters"),
        (["new", "schedule", "a-b"], "expected a name of letters"),
        (["new", "schedule", "../x"], "expected a name of letters"),
        (["new", "schedule", "x", "like=adam"], "no such schedule"),
        (["new", "schedule", "x", "package=a.b"], "expected the name of a package"),
        (["new", "schedule", "x", "seed=1"], "seed=1: no such option"),
        (["new", "recipe", "x", "like=cosine"], "is for components"),
        (["new", "recipe", "x", "optimizer=adm"], "did you mean adam?"),
    ],
)
def test_what_cannot_be_written_is_said(here, say, words, message):
    code, out, err = say(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert files(here) == []


def test_a_new_recipe_has_its_first_line_and_what_was_typed(here, say):
    code, out, _ = say(
        "new", "recipe", "quick", "optimizer=sgd", "optimizer.lr=0.05", "augment=[noise]", "loop.epochs=5"
    )
    assert (code, out) == (0, "wrote recipes/quick.yaml\nto train with it: trainctl recipe=quick\n")
    assert (here / "recipes" / "quick.yaml").read_text().startswith("# @package _global_\n")
    typed = ["optimizer=sgd", "optimizer.lr=0.05", "augment=[noise]", "loop.epochs=5"]
    assert compose.compose(["recipe=quick"]).tree == compose.compose(typed).tree
    assert say("new", "recipe", "quick")[0] == 2


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("group", component.GROUPS)
def test_a_new_component_of_each_group_trains(here, say, group):
    package = f"package_of_{group}"
    assert say("new", group, "mine", f"package={package}")[0] == 0
    word = f"{group}=[mine]" if group in component.ADDITIVE else f"{group}=mine"
    run = assemble.assemble(project.composed([word, *SMALL])[0])
    assert run.plan.total_steps == 2
