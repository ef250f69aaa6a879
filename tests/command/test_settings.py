"""Every setting is explained: what it means, what it may be, and which word or file has set it."""

import json

import pytest

from trainctl.settings import component, config, explained
from trainctl.settings.docstring import parse_docstring


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own_keys():
    yield from config.knobs()
    for section, cls in config.SECTIONS.items():
        yield from (f"{section}.{key}" for key in config.knobs(cls))


def test_every_key_of_the_default_configuration_has_a_sentence():
    keys = list(own_keys())
    assert len(keys) > 30
    meanings = explained.own_meanings()
    assert [key for key in keys if len(meanings.get(key, "").split()) < 3] == []
    assert {each.key for each in explained.explain(None, [])} == set(keys)


def test_every_parameter_of_every_component_has_a_meaning():
    missing = []
    for group in component.GROUPS:
        for name in component.names(group):
            signature = component.signature(component.source(group, name))
            described = parse_docstring(signature.doc).arguments
            missing += [f"{group}={name}: {key}" for key in signature.parameters if not described.get(key)]
    assert missing == []


def test_every_setting_of_sweeps_is_explained():
    found = explained.explain("sweep", [])
    assert len(found) > 20
    assert [each.key for each in found if not each.meaning or not each.allowed] == []


ORIGINS = [
    (["seed"], "conf/train.yaml, line "),
    (["seed", "seed=3"], "typed: seed=3"),
    (["optimizer.lr"], "conf/optimizer/adam.yaml, line "),
    (["optimizer.lr", "optimizer=sgd"], "conf/optimizer/sgd.yaml, line "),
    (["optimizer.lr", "recipe=text_names"], "recipes/text_names.yaml, line "),
    (["optimizer.lr", "recipe=text_names", "optimizer.lr=1"], "typed: optimizer.lr=1"),
    (["model", "recipe=text_names"], "recipes/text_names.yaml, line "),
    (["loss", "dataset=diabetes"], "conf/dataset/diabetes.yaml, line "),
    (["loss"], "conf/train.yaml, line "),
    (["loop.epochs", "loop.max_steps=5"], "null, because another budget is set alone: loop.max_steps=5"),
    (["augment.flip.probability", "augment=[flip]"], "conf/augment/flip.yaml, line "),
    (["sweep.workers"], "conf/sweep.yaml, line "),
]


@pytest.mark.parametrize(
    ("words", "origin"), ORIGINS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_the_word_or_the_line_that_has_set_a_setting_is_named(say, words, origin):
    code, out, err = say("settings", *words, "format=json")
    assert code == 0, err
    assert json.loads(out)[0]["origin"].startswith(origin)


def test_a_line_of_the_project_is_named(here, say):
    (here / "trainctl.yaml").write_text("seed: 1\noptimizer:\n  name: sgd\n  lr: 0.5\n")
    assert "set by   trainctl.yaml, line 4\n" in say("settings", "optimizer.lr")[1]
    assert "set by   conf/optimizer/adam.yaml" in say("settings", "optimizer.lr", "optimizer=adam")[1]


def test_one_setting_is_shown_with_all_that_is_known(say):
    assert say("settings", "loop.batch_size", "loop.batch_size=64")[1].splitlines() == [
        "loop.batch_size=64",
        "samples per step, or full",
        "allowed  a whole number in [1, inf) or full",
        "default  32",
        "set by   typed: loop.batch_size=64",
    ]


def test_sections_are_listed_like_groups(say):
    for command in ("settings", "list"):
        lines = say(command, "loop")[1].splitlines()
        assert lines[0].split() == ["setting", "value", "allowed", "meaning"]
        assert len(lines) == 1 + len(config.knobs(config.Loop))
    assert "optimizer.beta1" in say("settings", "optimizer")[1]


def test_explain_explains_a_setting_too(say):
    assert say("explain", "optimizer.lr", "optimizer=sgd") == say("settings", "optimizer.lr", "optimizer=sgd")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["settings", "loop.epoch"], "loop.epoch: no such setting; did you mean loop.epochs?"),
        (["settings", "lr"], "lr: no such setting; did you mean optimizer.lr?"),
        (["settings", "xyzzy"], "no such setting (sections and groups: "),
        (["settings", "sweep.workrs"], "did you mean sweep.workers?"),
        (["settings", "seed", "seed=x"], "seed=x: expected a whole number"),
        (["explain", "optimizer.lr", "rows.csv"], "is a setting, not a run, so nothing can follow it"),
    ],
)
def test_what_is_no_setting_is_answered_with_the_nearest(say, words, message):
    code, _, err = say(*words)
    assert code == 2
    assert message in err
