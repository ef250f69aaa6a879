"""The notebook of the documentation works, and shows a run below its cell.

python -m tests.docs.test_notebook      execute it, and write what it prints into docs/notebook.ipynb
"""

import asyncio
import gc
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
SECONDS = 240  # for a cell; the first one loads PyTorch


def execute(directory: Path) -> Any:
    """Return the notebook as it is after it was executed in a directory."""
    import nbformat
    from nbclient import NotebookClient

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # nbclient asks for the current one
    try:
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        resources = {"metadata": {"path": str(directory)}}
        NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        gc.collect()  # here, and not in a later test, what the libraries left open is reported
    return notebook


def outputs(notebook: Any) -> list[list[Any]]:
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the libraries that execute it
def test_the_notebook_works_and_shows_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    trained, table, predictions, values, wines, model, error = outputs(execute(tmp_path))
    view = next(output for output in trained if output.output_type == "display_data").data
    assert "finished" in view["text/plain"]
    assert re.search(r"epoch\s+step\s+train/loss", view["text/plain"])
    assert view["text/html"].startswith("<pre ")
    assert len([output for output in trained if output.output_type == "display_data"]) == 1  # updated in its place
    assert [output for output in trained if output.output_type == "stream"] == []
    assert "<table>" in table[0].data["text/html"]
    assert "virginica" in predictions[0].data["text/plain"]
    assert values[0].data["text/plain"].startswith("(array(['setosa', 'virginica']")
    assert wines[0].data["text/plain"] == "array(['0', '0', '0'], dtype='<U1')"
    assert model[0].data["text/plain"] == "tensor([0])"
    assert "did you mean adam?" in error[0].text


def test_the_notebook_was_committed_as_it_is_when_executed() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert '"output_type": "display_data"' in text
    assert '"output_type": "error"' not in text
    assert str(Path.home()) not in text


if __name__ == "__main__":
    import nbformat

    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        done = execute(Path(folder))
    for cell in done.cells:
        cell.metadata = {}
    nbformat.write(done, NOTEBOOK)
    sys.exit(0)
