"""What follows a command is sorted into names, options and overrides; a mistake is named with what is allowed."""

import math
import re

import pytest

from trainctl.command import arguments, option_values
from trainctl.errors import ConfigError

DEFAULTS = {"root": "runs", "output": ""}


def test_names_options_and_overrides_are_told_apart():
    parsed = arguments.parse(
        ["run", "root=/data", "optimizer.lr=0.1", "0-optimizer.lr=0.1"], DEFAULTS, most_names=2, overrides=True
    )
    assert parsed.names == ["run", "0-optimizer.lr=0.1"]  # a sweep's trial
    assert parsed.options == {"root": "/data", "output": ""}
    assert parsed.overrides == ["optimizer.lr=0.1"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--root", "--root: this command takes no flags other than --help; write options as key=value: root=VALUE"),
        ("rot=x", "rot=x: no such option; did you mean root? (choose from: root, output)"),
        ("second", "second: unexpected argument; write options as key=value"),
    ],
)
def test_an_argument_that_the_command_does_not_take_is_named(argument, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        arguments.parse(["first", argument], DEFAULTS, most_names=1)


@pytest.mark.parametrize(("text", "low", "high"), [("0.5", 0, 1), ("1", 0, 1), ("1e300", 0, math.inf)])
def test_a_number_in_the_range_is_read(text, low, high):
    assert option_values.number("key", text, low, high) == float(text)


@pytest.mark.parametrize(
    ("text", "high", "allowed"),
    [
        ("0", 1, "(0, 1]"),
        ("1.5", 1, "(0, 1]"),
        ("x", 1, "(0, 1]"),
        ("nan", math.inf, "(0, inf)"),
        ("inf", math.inf, "(0, inf)"),
    ],
)
def test_a_number_outside_the_range_is_an_error(text, high, allowed):
    with pytest.raises(ConfigError, match=re.escape(f"key={text}: expected a number in {allowed}")):
        option_values.number("key", text, 0, high)


def test_a_choice_is_returned_or_the_nearest_one_is_named():
    assert option_values.choice("which", "best", ("best", "last")) == "best"
    with pytest.raises(ConfigError, match=r"which=bst: no such which; did you mean best\?"):
        option_values.choice("which", "bst", ("best", "last"))


@pytest.mark.parametrize("typed", [["--config-dir", "mine"], ["--config-dir=mine"], ["-cd", "mine"], ["-cd=mine"]])
def test_a_directory_of_configuration_files_is_a_flag_of_what_composes(typed):
    parsed = arguments.parse([*typed, "run", "seed=1"], {"root": "runs"}, most_names=1, overrides=True, composes=True)
    assert (parsed.config_dir, parsed.names, parsed.overrides) == ("mine", ["run"], ["seed=1"])
    assert arguments.words_of(parsed.config_dir) == ["--config-dir", "mine"]
    with pytest.raises(ConfigError, match=r"this command takes no flags other than --help;"):
        arguments.parse(typed, {"root": "runs"}, most_names=1)
    with pytest.raises(ConfigError, match=r"--root: this command takes no flags other than --help and --config-dir;"):
        arguments.parse(["--root", *typed], {"root": "runs"}, most_names=1, composes=True)
    with pytest.raises(ConfigError, match=r"expected a directory of configuration files$"):
        arguments.parse([typed[0].partition("=")[0]], {"root": "runs"}, most_names=1, composes=True)


def test_what_a_command_writes_must_not_exist(tmp_path):
    assert option_values.new_path("output", "") is None
    assert option_values.new_path("output", "new.csv").name == "new.csv"
    (tmp_path / "old.csv").touch()
    (tmp_path / "old").mkdir()
    with pytest.raises(ConfigError, match=r"^output=old\.csv: file already exists; remove it, or choose another name$"):
        option_values.new_path("output", "old.csv")
    with pytest.raises(ConfigError, match=r"^output=old: directory already exists; remove it, or choose another name$"):
        option_values.new_path("output", "old")


def test_a_file_of_any_name_is_a_name(tmp_path):
    for name in ("k=v.csv", "-dash.csv", "a.b=c.csv", "--help.csv"):
        with pytest.raises(ConfigError):
            arguments.parse(["run", name], {"root": "runs"}, most_names=2)
        (tmp_path / name).touch()
        assert arguments.parse(["run", name], {"root": "runs"}, most_names=2).names == ["run", name]
    (tmp_path / "device=cpu").touch()
    (tmp_path / "root=x").touch()
    parsed = arguments.parse(["device=cpu", "root=x"], {"root": "runs"}, most_names=2, overrides=True)
    assert (parsed.names, parsed.options, parsed.overrides) == ([], {"root": "x"}, ["device=cpu"])


@pytest.mark.parametrize("key", ["root", "output"])
def test_a_path_below_no_home_directory_is_refused_unless_it_exists(key, tmp_path):
    with pytest.raises(
        ConfigError, match=rf"{key}=~nosuchuser/x: there is no such home directory; .* give \./~nosuchuser/x"
    ):
        arguments.parse([f"{key}=~nosuchuser/x"], DEFAULTS, most_names=0)
    assert arguments.parse([f"{key}=./~nosuchuser/x"], DEFAULTS, most_names=0).options[key] == "./~nosuchuser/x"
    (tmp_path / "~nosuchuser").mkdir()
    assert arguments.parse([f"{key}=~nosuchuser"], DEFAULTS, most_names=0).options[key] == "~nosuchuser"


def test_a_tolerance_is_a_number_of_at_least_0():
    assert [option_values.tolerance(text) for text in ("", "0", "0.0", "0e3", "0.5")] == [None, 0, 0, 0, 0.5]
    for text in ("-1", "nan", "inf", "x", "1e999"):
        with pytest.raises(ConfigError, match=rf"^tolerance={text}: expected a number in \[0, inf\)$"):
            option_values.tolerance(text)
