"""What every data set is: finite tensors of the promised types that fit together, or a message that names the place."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from trainctl.data.centre import narrowed
from trainctl.errors import ConfigError, DataError
from trainctl.run import factory
from trainctl.settings import paths

CONF = Path(__file__).parents[3] / "conf" / "dataset"
KEYS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(CONF.glob("*.yaml"))}
ELSEWHERE = [name for name, keys in KEYS.items() if "root" in keys]
OWN = [name for name, keys in KEYS.items() if "path" in keys]
CARRIED = [name for name in KEYS if name not in ELSEWHERE]  # with examples() of a user's own


def example(name, folder):
    """Write a small file of the kind that a data set of the user's own reads; return the settings for it."""
    if name not in OWN:
        return {}
    file = folder / "example.csv"
    generator = np.random.default_rng(0)
    if name == "csv":
        lines = [
            f"{a:.3f},{b},{'yes' if a > 0 else 'no'}"
            for a, b in zip(generator.normal(size=120), "uvw" * 40, strict=True)
        ]
        file.write_text("\n".join(["a,b,y", *lines]))
        return {"path": str(file), "target": "y"}
    if name == "arrays":
        np.savez(folder / "example.npz", inputs=generator.normal(size=(120, 3)), targets=np.arange(120) % 3)
        return {"path": str(folder / "example.npz")}
    if name == "text":
        file.write_text("words,y\n" + "".join(f"{['good', 'bad'][row % 2]} {row},{row % 2}\n" for row in range(120)))
        return {"path": str(file), "text": "words", "target": "y"}
    if name == "series":
        file.write_text("a\n" + "".join(f"{row % 9}\n" for row in range(150)))
        return {"path": str(file), "columns": ["a"]}
    if name == "image_folder":
        for row in range(104):
            (folder / "images" / f"class_{row % 2}").mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 256, (5, 4), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / f"class_{row % 2}" / f"{row}.png")
        return {"path": str(folder / "images"), "size": 6, "cache": str(folder / "cache")}
    if name == "parquet":
        pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        pq = pytest.importorskip("pyarrow.parquet")
        table = pa.table({"a": generator.normal(size=120), "b": ["u", "v", "w"] * 40, "y": ["no", "yes"] * 60})
        pq.write_table(table, folder / "example.parquet")
        return {"path": str(folder / "example.parquet"), "target": "y", "cache": str(folder / "cache")}
    if name == "tar":
        with tarfile.open(folder / "example.tar", "w") as shard:
            for row in range(104):
                stream = io.BytesIO()
                Image.fromarray(generator.integers(0, 256, (5, 4), dtype=np.uint8)).save(stream, "PNG")
                for ending, content in (("png", stream.getvalue()), ("cls", b"%d" % (row % 2))):
                    member = tarfile.TarInfo(f"{row:03}.{ending}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))
        return {"path": str(folder / "example.tar"), "size": 6, "cache": str(folder / "cache")}
    raise AssertionError(f"dataset={name} needs an example")


@pytest.fixture
def make(tmp_path):
    def build(name, **changes):
        keys = {key: value for key, value in KEYS[name].items() if key != "defaults"}
        return factory.build("dataset", keys | (changes or example(name, tmp_path)), schema=None)

    return build


def test_there_are_members():
    assert len(CARRIED) >= 5
    assert len(ELSEWHERE) >= 2


@pytest.mark.parametrize("name", CARRIED)
def test_inputs_and_targets_have_the_promised_types_and_fit_together(make, name):
    dataset = make(name)
    assert len(dataset.inputs) == len(dataset.targets) > 100
    floats = {(dtype, dimensions) for dtype in (torch.float32, torch.float64) for dimensions in (2, 3)}
    kinds = {(torch.uint8, 4), (torch.int64, 2), *floats}
    assert (dataset.inputs.dtype, dataset.inputs.ndim) in kinds
    assert (dataset.inputs.dtype == torch.int64) == bool(dataset.vocabulary)
    assert torch.isfinite(dataset.inputs.float()).all()
    assert narrowed(dataset).inputs.is_contiguous()
    assert narrowed(dataset).inputs.dtype != torch.float64
    assert narrowed(dataset).targets.dtype in (torch.float32, torch.int64)
    if dataset.task == "classification":
        assert dataset.targets.dtype == torch.int64
        assert dataset.targets.unique().tolist() == list(range(dataset.outputs))
        assert len(dataset.class_names) == dataset.outputs
    else:
        assert dataset.targets.dtype in (torch.float32, torch.float64)
        assert dataset.targets.shape == (len(dataset.inputs), len(dataset.target_names))
        assert torch.isfinite(dataset.targets).all()


@pytest.mark.parametrize("name", CARRIED)
def test_every_column_and_class_has_a_name_of_its_own(make, name):
    dataset = make(name)
    for names in (dataset.class_names, dataset.input_names, dataset.target_names):
        assert len(set(names)) == len(names)
        assert all(isinstance(word, str) and word for word in names)
    assert len(dataset.input_names) in {0, dataset.inputs.shape[-1]}
    assert not dataset.vocabulary or not dataset.input_names


@pytest.mark.parametrize("name", CARRIED)
def test_loaded_twice_it_is_the_same(make, name):
    first, again = make(name), make(name)
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.targets, again.targets)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_root_that_is_not_there_is_named_and_never_made(make, name, tmp_path):
    with pytest.raises(DataError, match=r"dataset\.root=.*nowhere: no such directory"):
        make(name, root=str(tmp_path / "nowhere"), download=True)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_missing_files_are_named_where_none_may_be_downloaded(make, name, tmp_path):
    with pytest.raises(DataError, match=r"missing: set dataset\.download=true") as caught:
        make(name, root=str(tmp_path), download=False)
    assert str(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", OWN)
def test_a_file_of_ones_own_has_to_be_named(make, name):
    with pytest.raises(ConfigError, match=r"dataset\.path=null: set dataset\.path="):
        make(name, path=None)


@pytest.mark.parametrize("name", OWN)
def test_a_file_that_is_not_there_is_named(make, name, tmp_path):
    with pytest.raises(DataError, match=r"nowhere.*: no such (file|directory)"):
        make(name, **example(name, tmp_path) | {"path": str(tmp_path / "nowhere.csv")})


@pytest.mark.parametrize("name", [*ELSEWHERE, *OWN])
def test_paths_are_made_absolute_when_a_configuration_is_loaded(name, tmp_path):
    key = "root" if name in ELSEWHERE else "path"
    given = {word: value for word, value in KEYS[name].items() if word != "defaults"}
    assert paths.absolute("dataset", given | {key: "some/../place"}, [])[key] == str(tmp_path / "place")
    assert paths.absolute("dataset", given | {key: "~/place"}, [])[key] == str(Path.home() / "place")
    assert paths.absolute("dataset", given | {key: None}, [])[key] is None
