"""A served run predicts what `predict` predicts, and answers everything else with what is wrong."""

import base64
import csv
import io
import json
import re
import sys
import time
from pathlib import Path

import pytest

from tests import small_runs
from tests.serve.conftest import LIMITS, serving
from tests.soak import cases, seed
from trainctl import cli
from trainctl.serve.description import window
from trainctl.serve.page import PAGE

ROWS = [{"customer": "a", "city": "Bern", "age": 3}, {"customer": "b", "city": "Ulm", "age": 17.5}]
TABLE = "customer,city,age\na,Bern,3\nb,Ulm,17.5\n"


@pytest.fixture
def predict(small_root, capfd, monkeypatch):
    """Return a function that returns what `trainctl predict` writes about a file, as JSON."""

    def run(kind, name, content, *words):
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        capfd.readouterr()
        directory = str(small_runs.find(small_root, kind))
        monkeypatch.setattr(sys, "argv", ["trainctl", "predict", directory, name, "format=jsonl", *words])
        assert cli.main() == 0
        return [json.loads(line) for line in capfd.readouterr()[0].splitlines()]

    return run


@pytest.mark.parametrize("kind", ["prices", "cities"])
def test_rows_are_predicted_as_by_predict_whatever_their_format(served, predict, kind):
    rows = [row | {"price": 7} for row in ROWS]
    table = "customer,city,age,price\na,Bern,3,7\nb,Ulm,17.5,7\n"
    expected = predict(kind, "rows.csv", table)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for body, content_type in (
        (rows, "application/json"), ({"rows": rows}, "application/json; charset=utf-8"), (columns, "application/json"),
        (lines, "application/x-ndjson"), (table, "text/csv"), (table.replace(",", ";"), "text/csv"),
    ):  # fmt: skip
        status, found = served(kind).predict(body, content_type)
        assert (status, found) == (200, {"predictions": expected, "notes": []}), content_type
    (alone,) = served(kind).predict(rows[1])[1]["predictions"]
    numbers = [name for name, value in expected[1].items() if isinstance(value, float)]
    assert numbers
    assert [alone[name] for name in numbers] == pytest.approx([expected[1][name] for name in numbers], rel=1e-5)


def test_a_csv_is_answered_where_one_is_wanted_and_columns_are_copied(served, small_root, predict):
    expected = predict("prices", "rows.csv", TABLE, "id=customer")
    status, found = served("prices").predict(ROWS, path="/predict?id=customer")
    assert (status, found["predictions"]) == (200, expected)
    status, found = served("prices").predict(TABLE, "text/csv", "/predict?id=customer", accept="text/csv")
    rows = list(csv.DictReader(io.StringIO(found.decode())))
    assert [{name: str(value) for name, value in row.items()} for row in expected] == rows


def test_images_are_predicted_from_their_bytes_or_in_base64(served, small_root, predict):
    content = (small_root / "pets" / "cat" / "1.png").read_bytes()
    expected = predict("images", "cat.png", content)
    encoded = base64.b64encode(content).decode()
    for body, content_type in (
        (content, "image/png"), (content, "application/octet-stream"), ({"images": [encoded]}, "application/json"),
        ({"images": [f"data:image/png;base64,{encoded}"]}, "application/json"),
    ):  # fmt: skip
        assert served("images").predict(body, content_type) == (200, {"predictions": expected, "notes": []})
    status, found = served("images").predict({"images": [encoded, encoded]})
    assert (status, [row["row"] for row in found["predictions"]]) == (200, [0, 1])
    channels = served("images").request("GET", "/schema")[2]["shape"][0]
    assert served("images").predict([[[[9] * 4] * 4] * channels])[0] == 200  # pixels


def test_texts_and_windows_are_predicted(served, predict):
    expected = predict("lines", "new.txt", "cat 1\nzebra 2\n")
    status, found = served("lines").predict({"texts": ["cat 1", "zebra 2"]})
    assert status == 200
    assert found["predictions"] == [{key: row[key] for key in row if key != "line"} for row in expected]
    assert found["notes"] == ["1 of 4 tokens (25.0%) is not in the run's vocabulary, such as 'zebra'"]
    assert served("lines").predict("cat 1\nzebra 2\n", "text/plain")[1]["predictions"] == expected
    assert served("lines").predict([{"text": "cat 1"}, {"text": "zebra 2"}])[1]["predictions"] == found["predictions"]
    table = "load\n1\n2\n3\n4\n"
    assert served("series").predict(table, "text/csv")[1]["predictions"] == predict("series", "new.csv", table)


WRONG = [
    ("not json", 400, "body: not valid JSON"),
    (b"\xff", 400, "is not UTF-8"),
    ("[]", 400, "expected rows"),
    ("{}", 400, "at least one row with named values"),
    ("null", 400, "expected rows"),
    ('"text"', 400, "expected rows"),
    ("[1, 2]", 400, "has shape"),
    ("[[1, 2], [3]]", 400, "expected numbers in an array"),
    ('[{"city": "Bern"}]', 400, "column age is missing"),
    ('[{"city": "Bern", "age": "many"}]', 400, "body, row 0, column age: 'many' is not a number"),
    ('[{"city": "Bern", "age": 1e999}]', 400, "is infinite"),
    ('[{"city": "Bern", "age": null}]', 400, "row 0, column age has a missing value"),
    ('[{"city": ["Bern"], "age": 1}]', 400, "row 0, column city: contains a list"),
    ('[{"city": "Bern", "age": 1}, 5]', 400, "expected"),
    ('{"images": ["%"]}', 400, "not base64"),
    ('{"texts": ["a"]}', 400, "contains texts"),
    ("[" * 100, 400, "nested more than 20 levels deep"),
    (json.dumps([{"city": "Bern", "age": 1}] * 51), 413, "51 rows; one request may have at most 50"),
    ("9" * 2000, 400, "digits"),
    ("x" * 200_001, 413, "larger than 200,000 bytes"),
]


@pytest.mark.parametrize(("body", "status", "expected"), WRONG, ids=lambda value: str(value)[:30])
def test_a_wrong_body_is_answered_with_what_is_wrong(served, body, status, expected):
    found = served("prices").predict(body)
    assert found[0] == status
    assert list(found[1]) == ["error"]
    assert expected in found[1]["error"]
    assert served("prices").predict(ROWS)[0] == 200


def test_what_is_sent_as_an_image_is_answered_as_one(served):
    for content_type in ("image/png", "image/jpeg", "application/octet-stream"):
        status, answer = served("images").predict("a,b\n1,2\n", content_type)
        assert (status, "body: " in answer["error"], "image" in answer["error"]) == (400, True, True), answer
        assert "column" not in answer["error"]


@pytest.mark.parametrize(
    ("kind", "content_type", "body", "status"),
    [
        ("prices", "", "x", 415), ("prices", "text/plain", "x", 415), ("prices", "image/png", "x", 415),
        ("prices", "application/x-www-form-urlencoded", "x", 415), ("images", "text/csv", "x", 415),
        ("lines", "image/png", "x", 415), ("images", "image/png", "no image", 400), ("images", "image/png", "", 400),
        ("prices", "text/csv", "", 400), ("prices", "text/csv", "city,age\n", 400), ("lines", "text/plain", "\n\n", 400),
        ("lines", "application/json", '{"texts": ["a", ""]}', 400), ("prices", "text/csv", '"', 400),
    ],
)  # fmt: skip
def test_a_body_of_the_wrong_kind_is_refused(served, kind, content_type, body, status):
    found = served(kind).predict(body, content_type)
    assert found[0] == status, found
    assert found[1]["error"]


def test_what_curl_sends_by_itself_is_answered_with_what_to_add(served):
    for content_type in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        status, answer = served("prices").predict("x", content_type)
        assert (status, "; with curl, " in answer["error"]) == (415, True)


VALUES = [
    "null", "true", "-1", "1e999", "NaN", "9" * 400, "-" + "9" * 999, "9" * 1001, "1e308", "-0.0", '""', '"x"', '"1,5"',
    '"1e999"', "[]", "{}", "[[]]", '{"a": 1}', r'"\ud800"', r'"\u001b]0;x\u0007"', r'"\u0000"', '"2024-01-01"',
    '"9999-99-99"', '"nan"', "[" * 19 + "]" * 19,
]  # fmt: skip
BODIES = [
    '[{"%s": %s}]',
    '{"rows": [{"%s": %s}]}',
    '{"%s": [%s]}',
    '{"%s": %s}',
    "[%.0s%s]",
    '{"texts": [%.0s%s]}',
    '{"images": [%.0s%s]}',
]


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["prices", "cities", "series", "lines", "images"])
def test_any_value_in_a_row_is_answered_and_is_no_error_of_ours(served, kind):
    source = seed(f"values for {kind}")
    names = ["age", "city", "price", "load", "text", "image", "rows", "row", "prediction"]
    for _ in range(cases(30)):
        body = source.choice(BODIES) % (source.choice(names), source.choice(VALUES))
        status, found = served(kind).predict(body)
        assert status in (200, 400, 413), (body, found)


def test_paths_methods_and_options_that_do_not_exist_are_refused(served):
    server = served("prices")
    assert server.request("GET", "/predict")[0] == 405
    assert server.request("GET", "/predict")[1]["allow"] == "POST"
    assert server.request("POST", "/health")[0] == 405
    assert server.request("GET", "/../../etc/passwd")[0] == 404
    assert server.request("GET", "/runs")[2]["error"] == "no such path; choose from: /, /health, /schema, /predict"
    assert server.predict(ROWS, path="/predict?keep=all")[0] == 400
    assert server.predict(ROWS, path="/predict?" + "&".join(f"id={n}" for n in range(99)))[0] == 400
    assert server.request("HEAD", "/health")[2] == b""


def test_pages_of_other_sites_are_refused(served):
    server = served("prices")
    assert server.request("GET", "/health", host="evil.example")[0] == 421
    assert server.request("GET", "/health", host="localhost:1")[0] == 200
    assert server.request("GET", "/health", host="[::1]:80")[0] == 200
    assert server.predict(ROWS, sec_fetch_site="cross-site")[0] == 403
    assert server.predict(ROWS, sec_fetch_site="same-origin")[0] == 200
    headers = server.request("GET", "/health", origin="https://evil.example")[1]
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_health_and_schema_say_what_is_served(served, small_root):
    status, _, health = served("prices").request("GET", "/health")
    assert (status, health["status"], health["run"]) == (200, "ok", small_runs.find(small_root, "prices").name)
    about = served("prices").request("GET", "/schema")[2]
    assert (about["input"], about["task"], about["columns"]) == ("table", "regression", ["row", "price"])
    assert about["inputs"][0] == {"name": "city", "type": "category", "categories": ["Bern", "Ulm"], "example": "Bern"}
    assert about["inputs"][1]["type"] == "number"
    assert about["limits"]["most_rows"] == LIMITS.most_rows
    example = {column["name"]: column["example"] for column in about["inputs"]}
    assert served("prices").predict(example)[0] == 200  # what the form shows at first can be sent
    kinds = {kind: served(kind).request("GET", "/schema")[2]["input"] for kind in ("images", "lines", "series")}
    assert kinds == {"images": "image", "lines": "text", "series": "series"}


def test_the_example_of_a_series_can_be_sent_whatever_orders_it(served, tmp_path, monkeypatch):
    about = served("series").request("GET", "/schema")[2]
    assert (about["time"], about["entity"], len(about["example"].splitlines())) == (None, None, 4)
    assert served("series").predict(about["example"], "text/csv")[0] == 200
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{shop},2026-01-{day:02},{day % 7}\n" for shop in "ab" for day in range(1, 31))
    Path("shops.csv").write_text(f'shop,"the ""day"", UTC",load\n{rows}')
    typed = ["dataset=series", "dataset.path=shops.csv", "dataset.columns=[load]", 'dataset.time=the "day", UTC',
             "dataset.entity=shop", "dataset.window=3", "loop.max_steps=2", "output.plots=false", "output.root=shops"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["trainctl", *typed])
    assert cli.main() == 0
    with serving(small_runs.find(tmp_path, "shops")) as server:
        about = server.request("GET", "/schema")[2]
        assert (about["time"], about["entity"]) == ('the "day", UTC', "shop")
        status, found = server.predict(about["example"], "text/csv")
    assert (status, len(found["predictions"])) == (200, 1)


def test_a_time_that_is_an_input_too_is_in_the_example_of_a_series_once():
    columns = [{"name": "hour", "example": 40.0}, {"name": "load", "example": 3.5}]
    assert window(columns, 2, "hour", None) == "hour,load\n1,3.5\n2,3.5\n"


def test_the_page_is_whole_and_may_do_nothing_else(served):
    status, headers, body = served("prices").request("GET", "/")
    assert (status, body) == (200, PAGE)
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    text = body.decode()
    assert not re.search(r"(src|href)\s*=|https?://|innerHTML|\beval\b|\son\w+=", text.replace("shown.src = URL", ""))


def test_requests_are_logged_in_a_line_without_what_controls_a_terminal(served):
    server = served("prices")
    assert server.predict(ROWS)[0] == 200
    assert server.request("GET", "/%1b%5b31m%0afake")[0] == 404
    for pattern in (r"POST /predict 200 2 rows [\d.]+ ms", r"GET /\\x1b\[31m\\nfake 404 no such path; .* ms"):
        for _ in range(100):
            if any(re.fullmatch(pattern, line) for line in server.log):
                break
            time.sleep(0.05)
        else:
            raise AssertionError(server.log)
