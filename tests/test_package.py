"""What others see of the project: its metadata, how to cite it, its workflows, and its container."""

import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
FORMS = [path for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yaml")) if path.stem != "config"]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
SCRIPTS = {"docker/try": ROOT / "docker" / "try", "docker/install": ROOT / "docker" / "install"}


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def supported():
    """Return the Python versions of the classifiers."""
    found = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", entry) for entry in PROJECT["classifiers"]]
    return [match[1] for match in found if match]


def test_the_description_of_the_package_is_the_readme():
    assert PROJECT["readme"] == "README.md"
    assert (ROOT / PROJECT["readme"]).is_file()
    assert supported() == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={supported()[0]}"


def test_a_release_gets_the_address_of_its_repository(tmp_path):
    module = runpy.run_path(str(ROOT / ".github" / "name_repository.py"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    module["main"]("https://host.example/some/one", tmp_path)
    named = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    assert named.pop("urls") == {
        "Homepage": "https://host.example/some/one",
        "Documentation": f"https://host.example/some/one/blob/v{PROJECT['version']}/docs/start.md",
        "Changelog": f"https://host.example/some/one/blob/v{PROJECT['version']}/CHANGELOG.md",
        "Source": "https://host.example/some/one",
        "Issues": "https://host.example/some/one/issues",
    }
    assert named == PROJECT
    readme = (tmp_path / "README.md").read_text()
    targets = re.findall(r"\]\(([^)\s]+)\)", readme)
    assert any("/raw/" in target for target in targets)
    for target in targets:
        assert re.match("https?://|#", target), target
        path = re.fullmatch(r"https://host\.example/some/one/(?:raw|blob)/v[^/]+/([^#]+)(?:#.*)?", target)
        assert not path or (ROOT / path[1]).exists(), target
    for address in ("host/some/one", "https://host.example/some/one"):  # the second one is there already
        with pytest.raises(SystemExit, match="not the address"):
            module["main"](address, tmp_path)


def test_the_citation_names_this_version_and_licence():
    citation = load(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert (citation["title"], citation["version"], citation["license"]) == (
        PROJECT["name"], PROJECT["version"], PROJECT["license"],
    )  # fmt: skip
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert citation["message"]


def test_there_are_workflows_and_forms():
    assert [path.stem for path in WORKFLOWS] == ["check", "newest", "release"]
    assert len(FORMS) >= 2


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_what_exists_with_few_rights(path):
    workflow = load(path)
    assert workflow["on"], "a bare on: is read as true"
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        assert set(
            job.get("needs", []) if isinstance(job.get("needs"), list) else [job["needs"]] if "needs" in job else []
        ) <= set(workflow["jobs"])
    for step in steps(workflow):
        assert len({"uses", "run"} & step.keys()) == 1
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", step["uses"])
        run = step.get("run", "")
        assert set(re.findall(r"\bmake (\w+)", run)) <= TARGETS
        assert all((ROOT / script).is_file() for script in re.findall(r"\bdocker/\w+", run))
        assert "${{" not in run, "what comes from outside belongs into env:, not into a shell's text"


def test_every_system_and_python_is_checked():
    job = load(WORKFLOWS[0])["jobs"]["check"]
    assert job["strategy"]["matrix"] == {"os": ["ubuntu-latest", "macos-latest"], "python": supported()}
    assert any("make check" in step.get("run", "") for step in job["steps"])


def test_the_newest_versions_are_tried_every_night_and_a_release_is_checked_first():
    assert any("cron" in entry for entry in load(WORKFLOWS[1])["on"]["schedule"])
    assert any("make newest" in step.get("run", "") for step in steps(load(WORKFLOWS[1])))
    release = load(WORKFLOWS[2])["jobs"]
    assert release["publish"]["needs"] == "build"
    assert release["publish"]["permissions"] == {"id-token": "write"}  # trusted publishing: there is no password
    assert any("make check" in step.get("run", "") for step in release["build"]["steps"])


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_for_issues_has_what_github_requires(path):
    form = load(path)
    assert form["name"]
    assert form["description"]
    identifiers = [field["id"] for field in form["body"]]
    assert len(set(identifiers)) == len(identifiers) > 0
    assert all(field["type"] in ("textarea", "input") and field["attributes"]["label"] for field in form["body"])


@pytest.mark.parametrize("path", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_is_executable_and_can_be_parsed(path):
    assert path.stat().st_mode & 0o100
    shell = path.read_text().partition("\n")[0].rpartition("/")[2].split()[-1]
    found = shutil.which(shell)
    assert found
    assert subprocess.run([found, "-n", str(path)], capture_output=True, check=False).returncode == 0


def test_the_image_is_made_of_files_that_exist_and_are_not_ignored():
    lines = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert len(copied) >= 7
    assert [name for name in copied if not (ROOT / name).exists()] == []
    wanted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name for name in copied if name not in wanted} == set()


def test_the_script_refuses_what_it_does_not_know(tmp_path):
    def tried(*words):
        done = subprocess.run(
            [SCRIPTS[words[0]], *words[1:]], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        return done.returncode, done.stderr.strip()

    assert tried("docker/install", "python", "tpu") == (2, "docker/install: tpu: expected cpu or cuda")
    code, message = tried("docker/try", "cpu", "no-such-engine")
    assert (code, message) == (7, "docker/try: no-such-engine is not installed; docker/try venv needs none")
