"""YAML and code tell the same: for each component one file, its keys the parameters, its values fitting them."""

import inspect
from itertools import zip_longest
from pathlib import Path

import pytest
import yaml

from trainctl.run import factory
from trainctl.settings import component, compose, schema

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "conf").glob("*/*.yaml"))
MODULES = sorted(
    path
    for path in (ROOT / "trainctl" / "components").glob("*/*.py")
    if path.parent.name in component.GROUPS and path.stem != "base" and not path.stem.startswith("_")
)
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
FOUND = [(path.parent.name, path.stem) for path in MODULES]


def configured(group, name):
    keys = yaml.safe_load((ROOT / "conf" / group / f"{name}.yaml").read_text())
    return {key: value for key, value in keys.items() if key != "defaults"}


def documented(doc):
    """Return the words before the colons of a docstring's Args."""
    section = doc.partition("Args:\n")[2].partition("\n\n")[0]
    return [
        line.strip().partition(":")[0]
        for line in section.splitlines()
        if line.startswith("    ") and not line.startswith("     ")
    ]


def test_the_globs_find_the_catalogue():
    assert len(FILES) >= 39
    assert len(MODULES) >= 39
    assert len(RECIPES) >= 1
    assert {path.parent.name for path in FILES} == set(component.GROUPS)


def test_no_component_is_without_yaml_and_no_yaml_without_component():
    assert {(path.parent.name, path.stem) for path in FILES} == set(FOUND)


@pytest.mark.parametrize(("group", "name"), FOUND)
def test_keys_are_the_parameters_in_their_order(group, name):
    signature = component.signature(component.source(group, name))
    keys = configured(group, name)
    assert keys.pop("name") == name
    assert list(keys) == list(signature.parameters)


@pytest.mark.parametrize(("group", "name"), FOUND)
def test_every_default_fits_its_parameter(group, name):
    keys = configured(group, name)
    for key, annotation in component.signature(component.source(group, name)).parameters.items():
        assert annotation is not schema.Any, f"{key} would not be checked"
        if not str(keys[key]).startswith("${"):
            assert schema.problem(keys[key], annotation) is None, key


@pytest.mark.parametrize(("group", "name"), FOUND)
def test_every_component_takes_keywords_without_defaults(group, name):
    parameters = inspect.signature(factory.bind(group, {"name": name})).parameters
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())
    supplied = component.SUPPLIED[group]  # what assemble supplies may be missing where a component is called by hand
    assert all(parameter.default is parameter.empty or key in supplied for key, parameter in parameters.items())


@pytest.mark.parametrize(("group", "name"), FOUND)
def test_what_the_source_text_says_is_what_python_sees(group, name):
    seen = set(inspect.signature(factory.bind(group, {"name": name})).parameters)
    read = set(component.signature(component.source(group, name)).parameters)
    assert read == seen - component.SUPPLIED[group]


@pytest.mark.parametrize(("group", "name"), [pair for pair in FOUND if pair[1] != "none"])
def test_every_parameter_is_documented(group, name):
    function = factory.bind(group, {"name": name})
    assert sorted(documented(inspect.getdoc(function.func))) == sorted(inspect.signature(function).parameters)


@pytest.mark.parametrize(("group", "name"), [pair for pair in FOUND if pair[1] != "none" and pair[0] != "logger"])
def test_every_technique_names_its_source(group, name):
    assert "\nSource: " in component.signature(component.source(group, name)).doc


@pytest.mark.parametrize(("group", "name"), FOUND)
def test_the_first_line_of_a_docstring_is_a_sentence(group, name):
    summary = component.signature(component.source(group, name)).summary
    assert summary.endswith(".")
    assert len(summary) > 15


@pytest.mark.parametrize(
    "path", [*FILES, *RECIPES, ROOT / "conf" / "train.yaml"], ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_no_yaml_holds_a_path_to_code(path):
    text = path.read_text()
    assert "_target_" not in text
    assert "hydra.searchpath" not in text


@pytest.mark.parametrize(("group", "name"), [pair for pair in FOUND if pair[0] in component.ADDITIVE])
def test_members_that_add_up_stand_under_their_own_key(group, name):
    assert (ROOT / "conf" / group / f"{name}.yaml").read_text().startswith(f"# @package {group}.{name}\n")


def hands() -> list[dict[str, str]]:
    """Deal all members out, each hand with one of every group that has some left: Hydra composes a hand in one go."""
    groups = {group: [name for other, name in FOUND if other == group] for group in component.GROUPS}
    rounds = zip_longest(*groups.values())
    return [{group: name for group, name in zip(groups, names, strict=True) if name} for names in rounds]


@pytest.mark.parametrize("hand", hands(), ids=lambda hand: " ".join(hand.values()))
def test_every_member_composes(hand):
    whole = compose.compose([f"{group}={name}" for group, name in hand.items()]).tree
    for group, name in hand.items():
        part = whole[group][name] if group in component.ADDITIVE else whole[group]
        assert part["name"] == name


def test_every_member_is_in_a_hand():
    assert sorted(pair for hand in hands() for pair in hand.items()) == sorted(FOUND)


@pytest.fixture(scope="module")
def default():
    return compose.compose([])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_composes_and_says_how_to_run_it(path, default):
    first, second = path.read_text().splitlines()[:2]
    assert first == "# @package _global_"
    assert second.startswith(f"# trainctl recipe={path.stem}")
    assert compose.compose([f"recipe={path.stem}"]) != default
