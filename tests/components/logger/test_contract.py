"""What every logger does: each evaluation is there once, whatever happened to the run, with settings, plots and the end."""

import csv as tables
import io
import json
import struct
import sys
import warnings
from pathlib import Path

import pytest

from trainctl.errors import Advice, Interrupted, UnavailableError
from trainctl.report.files import Files
from trainctl.report.reporters import RunFolder
from trainctl.run import factory
from trainctl.settings import compose
from trainctl.store import runpath
from trainctl.train import session

CONF = Path(__file__).parents[3] / "conf" / "logger"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml") if path.stem != "none")


def read_csv(directory, name="metrics.csv"):
    return list(tables.DictReader(io.StringIO((directory / "csv" / name).read_text())))


def csv_points(directory):
    return [
        (name, int(row["step"]), float(value))
        for row in read_csv(directory)
        for name, value in row.items()
        if name != "step" and value
    ]


def csv_facts(directory):
    rows = {row["setting"]: row["value"] for row in read_csv(directory, "settings.csv")}
    return {"optimizer.lr": rows["optimizer.lr"]}


def tensorboard_values(directory):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    events = (
        event
        for path in sorted((directory / "tensorboard").glob("events*"))
        for event in EventFileLoader(str(path)).Load()
    )
    return [(event.step, value) for event in events for value in event.summary.value]


def tensorboard_points(directory):
    return [
        (value.tag, step, value.tensor.float_val[0])
        for step, value in tensorboard_values(directory)
        if value.tensor.float_val
    ]


def tensorboard_facts(directory):
    values = {value.tag: value for _, value in tensorboard_values(directory)}
    text = values["settings"].tensor.string_val[0].decode()
    rate = next(line.split("`")[3] for line in text.splitlines() if "`optimizer.lr`" in line)
    ending = values["summary"].tensor.string_val[0].decode() if "summary" in values else ""
    plots = {tag for tag in values if tag.startswith("plots/")}
    return {"optimizer.lr": rate, "outcome": "finished" if "`finished`" in ending else "", "plots": plots}


def mlflow_run(directory):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{directory.parent / 'mlflow.db'}")
    (experiment,) = [each for each in client.search_experiments() if each.name == "trainctl"]
    runs = client.search_runs([experiment.experiment_id])  # without those in the trash
    (run,) = [each for each in runs if each.info.run_name == directory.name]
    return client, run


def mlflow_points(directory):
    client, run = mlflow_run(directory)
    histories = (client.get_metric_history(run.info.run_id, name) for name in run.data.metrics)
    return [(metric.key, metric.step, metric.value) for history in histories for metric in history]


def mlflow_facts(directory):
    client, run = mlflow_run(directory)
    plots = {Path(file.path).stem for file in client.list_artifacts(run.info.run_id, "plots")}
    tags = run.data.tags
    assert run.info.status == "FINISHED" or tags["outcome"] != "finished"
    return {
        "optimizer.lr": run.data.params["optimizer.lr"], "outcome": tags["outcome"], "plots": {f"plots/{name}" for name in plots},
    }  # fmt: skip


def leveldb_records(content, block=1 << 15):
    """Yield the records of a log of LevelDB after its first 7 bytes: checksum [4], length [2], kind [1], and data; or parts."""
    position, parts = 7, b""
    while position + 7 <= len(content):
        if block - position % block < 7:
            position += block - position % block  # padding
            continue
        length, kind = struct.unpack_from("<HB", content, position + 4)
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def wandb_records(directory):
    from wandb.proto import wandb_internal_pb2

    (path,) = (directory / "wandb").glob("offline-run-*/*.wandb")
    for data in leveldb_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        yield record


def wandb_points(directory):
    points = []
    for record in wandb_records(directory):
        if record.WhichOneof("record_type") == "history":
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            points += [
                (name, row["step"], value) for name, value in row.items() if isinstance(value, int | float) and "step" in row
                and name != "step" and not name.startswith(("_", "plots/"))
            ]  # fmt: skip
    return points


def wandb_facts(directory):
    facts = {"plots": set()}
    for record in wandb_records(directory):
        kind = record.WhichOneof("record_type")
        if kind in ("run", "config"):
            update = record.run.config.update if kind == "run" else record.config.update
            facts |= {item.key: json.loads(item.value_json) for item in update if item.key == "optimizer.lr"}
        if kind == "summary":
            facts |= {item.key: json.loads(item.value_json) for item in record.summary.update if item.key == "outcome"}
        if kind == "history":
            names = (item.key or "/".join(item.nested_key) for item in record.history.item)
            facts["plots"] |= {"/".join(name.split("/")[:2]) for name in names if name.startswith("plots/")}
    return facts


READERS = {
    "csv": (csv_points, csv_facts),
    "tensorboard": (tensorboard_points, tensorboard_facts),
    "mlflow": (mlflow_points, mlflow_facts),
    "wandb": (wandb_points, wandb_facts),
}


def need(name):
    if name != "csv":
        pytest.importorskip({"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}[name])
    if name == "mlflow":
        pytest.importorskip("sqlalchemy", reason="MLflow keeps runs in a database")


def settings(name, *words):
    return compose.compose(
        ["dataset=iris", f"logger={name}", "loop.eval_every_steps=2", "output.plots=false", "loop.max_steps=12", *words]
    )


def recorded(directory):
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return sorted((name, row["step"], row[name]) for row in rows for name in row if "/" in name or name == "lr")


def same(found, directory):
    expected = recorded(directory)
    assert [point[:2] for point in sorted(found)] == [point[:2] for point in expected]
    assert [point[2] for point in sorted(found)] == pytest.approx([point[2] for point in expected], rel=1e-6)


def build(name, directory, **changes):
    import yaml

    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text()) | changes
    held = runpath.hold(directory)
    return factory.build("logger", keys, directory=directory, folder=lambda part: RunFolder(held / part))


def test_every_logger_is_read_here():
    assert sorted(READERS) == MEMBERS


@pytest.fixture(params=sorted(READERS))
def name(request, monkeypatch):
    need(request.param)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return request.param


@pytest.mark.filterwarnings(
    "default::DeprecationWarning", "default::PendingDeprecationWarning", "default::FutureWarning"
)
@pytest.mark.filterwarnings("default::ResourceWarning", "default::pytest.PytestUnraisableExceptionWarning")
class TestEveryLogger:
    @pytest.mark.slow
    def test_each_evaluation_is_there_once_after_every_kind_of_stop(self, name, tmp_path, monkeypatch):
        points, facts = READERS[name]
        run, elsewhere = tmp_path / "runs" / "run", tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        with pytest.raises(Interrupted):
            session.begin(settings(name, "loop.stop_at_step=5"), [], run)
        same(points(run), run)
        # As if it had been killed later: evaluations after the checkpoint, which will be repeated with the same result.
        session.resume(settings(name), [], run)
        same(points(run), run)
        session.resume(settings(name, "loop.max_steps=16", "output.plots=true"), [], run)
        same(points(run), run)
        found = facts(run)
        assert float(found["optimizer.lr"]) == 0.001
        if "outcome" in found:
            assert found["outcome"] == "finished"
            assert {"plots/confusion", "plots/curves"} <= found["plots"] | {"plots/curves"}
            assert len(found["plots"]) >= 2
        assert list(elsewhere.iterdir()) == []  # all of it is with the runs

    def test_what_was_logged_after_a_checkpoint_is_taken_back(self, name, tmp_path):
        points, _ = READERS[name]
        directory = tmp_path / "run"
        directory.mkdir()
        reporter = Files(directory, [build(name, directory)], [name])
        reporter.loggers.start(session_of(directory), [])
        for step in (2, 4, 6, 7):
            reporter._record({"step": step, "val/loss": 1.0})
            reporter.loggers.log(step, {"val/loss": 1.0})
        reporter.forget(4)
        reporter._record({"step": 6, "val/loss": 2.0})
        reporter.loggers.log(6, {"val/loss": 2.0})
        reporter.loggers.finish({"outcome": "finished", "steps": 6, "metrics": {"val/loss": 2.0}})
        reporter.close()
        assert sorted(points(directory)) == [("val/loss", 2, 1.0), ("val/loss", 4, 1.0), ("val/loss", 6, 2.0)]


def session_of(directory):
    from trainctl.components.logger.base import Session

    return Session(directory.name, {"optimizer.lr": 0.001})


@pytest.mark.parametrize(("name", "module"), [("mlflow", "mlflow"), ("wandb", "wandb"), ("tensorboard", "tensorboard")])
def test_a_missing_package_is_named_with_what_to_type(name, module, tmp_path, monkeypatch):
    for loaded in [key for key in sys.modules if key == module or key.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        UnavailableError, match=rf"logger={name} needs an optional package: pip install 'trainctl\[{name}\]'"
    ):
        build(name, tmp_path)


def test_wandb_online_needs_a_key(tmp_path, monkeypatch):
    need("wandb")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(UnavailableError, match=r"logger.wandb.mode=online needs a key: run `wandb login`"):
        build("wandb", tmp_path, mode="online")


def test_a_server_that_is_away_is_reported_once_and_the_run_finishes(tmp_path):
    need("mlflow")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Advice)
        away = ["logger.mlflow.uri=http://127.0.0.1:9", "loop.max_steps=4"]
        summary = session.begin(settings("mlflow", *away), [], tmp_path / "run")
    assert summary["outcome"] == "finished"
    messages = [
        str(each.message) for each in caught if issubclass(each.category, Advice) and "logger" in str(each.message)
    ]
    assert [message.partition(",")[0] for message in messages] == [
        "logger=mlflow is incomplete",
        "logger=mlflow failed 3 times in a row",
    ]


def test_a_csv_gets_a_column_when_a_metric_appears(tmp_path):
    logger = build("csv", tmp_path)
    logger.log(1, {"val/loss": 0.5})
    logger.log(2, {"val/loss": 0.25})
    assert (tmp_path / "csv" / "metrics.csv").read_text() == "step,val/loss\n1,0.5\n2,0.25\n"
    logger.log(2, {"test/loss": 1.0})
    logger.close()
    assert (tmp_path / "csv" / "metrics.csv").read_text() == "step,val/loss,test/loss\n1,0.5,\n2,0.25,1.0\n"
