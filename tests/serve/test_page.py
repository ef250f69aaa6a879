"""The page of a served run in a browser: what its form sends is answered, and shown as what it is."""

import base64
import http.server
import re
import subprocess
import threading
import urllib.request
from contextlib import contextmanager

import pytest
from PIL import Image

from tests import small_runs
from tests.report.test_html import browser
from tests.serve.conftest import serving
from trainctl.serve.page import PAGE

# What a visitor does: choose a file, and press the button.
CHOOSE = """
const wait = setInterval(() => {
  const box = document.querySelector("input[type=file]");
  if (!box) return;
  clearInterval(wait);
  const bytes = Uint8Array.from(atob("%s"), letter => letter.charCodeAt(0)), files = new DataTransfer();
  files.items.add(new File([bytes], "image.png", {type: "image/png"}));
  box.files = files.files;
  box.dispatchEvent(new Event("change"));
  document.getElementById("send").click();
  const answered = setInterval(() => {
    const drawn = document.querySelector("#answer canvas");
    if (!drawn) return;
    clearInterval(answered);
    document.body.dataset.levels = drawn.getContext("2d").getImageData(0, 0, drawn.width, drawn.height).data.join(" ");
  }, 50);
}, 50);
"""


@contextmanager
def visited(port, script):
    """Serve the page with a script in it, which its policy would refuse, and pass all other requests on; yield the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/":
                page = PAGE.decode().replace("</body>", f"<script>{script}</script></body>")
                self.reply(page.encode(), "text/html; charset=utf-8")
            elif self.path == "/favicon.ico":
                self.send_error(404)
            else:
                self.pass_on(None)

        def do_POST(self):
            self.pass_on(self.rfile.read(int(self.headers["content-length"])))

        def pass_on(self, body):
            asked = urllib.request.Request(
                f"http://127.0.0.1:{port}{self.path}", body, {"content-type": self.headers.get("content-type", "")}
            )
            with urllib.request.urlopen(asked, timeout=20) as answer:
                self.reply(answer.read(), answer.headers["content-type"])

        def reply(self, body, kind):
            self.send_response(200)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(not browser(), reason="no headless browser is installed (chromium or chrome)")
def test_the_reconstruction_of_an_image_is_shown_as_an_image(tmp_path, command):
    for row in range(20):
        (tmp_path / "pets" / "cat").mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / "dog").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (200, 20 + row, 90)).save(tmp_path / "pets" / "cat" / f"{row}.png")
        Image.new("RGB", (4, 4), (30, 220 - row, 90)).save(tmp_path / "pets" / "dog" / f"{row}.png")
    done = command(
        "dataset=image_folder", "dataset.path=pets", "dataset.size=4", "dataset.cache=cache", "model=autoencoder", "model.hidden=[32]",
        "optimizer.lr=0.01", "loop.epochs=40", "threads=1", "output.plots=false", "output.name=again",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = small_runs.find(tmp_path, "runs")
    content = (tmp_path / "pets" / "cat" / "3.png").read_bytes()
    with serving(run) as served, visited(served.port, CHOOSE % base64.b64encode(content).decode()) as address:
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'browser'}",
            "--window-size=900,900",
        ]
        found = subprocess.run(
            [browser(), *options, "--timeout=20000", "--virtual-time-budget=15000", "--dump-dom", address],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert served.request("GET", "/schema")[2]["pixels"].keys() == {"factor", "offset"}
    levels = [int(level) for level in re.search(r'data-levels="([\d ]+)"', found.stdout)[1].split()]
    assert len(levels) == 4 * 16
    for place in range(16):
        red, green, blue, opaque = levels[4 * place : 4 * place + 4]
        assert (abs(red - 200) < 40, abs(green - 23) < 40, abs(blue - 90) < 40, opaque) == (True, True, True, 255)
    assert "the reconstruction" in found.stdout
    assert "output_0" not in found.stdout.partition("<script>")[0]
