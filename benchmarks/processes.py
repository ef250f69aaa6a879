"""Measure two processes beside two threads, and beside DistributedDataParallel by hand; say whether the bits are equal.

    python benchmarks/processes.py [--steps 300] [--runs 3] [--words "dataset=digits model=cnn ..."]

Each row is a command of its own, so starting costs are the same; what is compared is the training time that the run records,
from the first step to the last. Runs are interleaved, and the median is printed. Equal bits are those of the newest checkpoint.
"""

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import torch
from safetensors import safe_open

WORDS = "dataset=digits model=cnn model.channels=[16,32] loop.batch_size=128 loop.micro_batches=2"
WAYS = {
    "1 process, 2 threads": ["threads=2"],
    "1 process, 1 thread": ["threads=1"],
    "2 processes, 1 thread": ["threads=1", "processes=2"],
    "2 processes, 1 thread, sum=fast": ["threads=1", "processes=2", "distributed.sum=fast"],
}
# The same network, rows in a batch, optimizer and number of steps; rows are drawn at random.
BY_HAND = """
    import os, time, torch, torch.distributed as dist
    from torch import nn
    from sklearn.datasets import load_digits
    torch.set_num_threads(1); torch.manual_seed(0)
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    from trainctl.run import assemble
    from trainctl.settings import compose
    run = assemble.assemble(compose.compose({words!r}.split()))
    model = nn.parallel.DistributedDataParallel(run.model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)
    taken = 0
    for step, batch in enumerate(run.order.batches(0)):
        if step == {warm_up}:
            began = time.perf_counter()
        if step == {warm_up} + {steps}:
            break
        inputs, targets = (part.tensor_split(size)[rank] for part in batch)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(run.data.input_scale(inputs)), targets).backward()
        optimizer.step()
    if rank == 0:
        print("MS", 1000 * (time.perf_counter() - began) / {steps})
    dist.destroy_process_group()
"""
WARM_UP = 20


def train(words: list[str], steps: int, root: Path) -> tuple[float, str]:
    """Train, and return the time for a step [ms] and a digest of the last weights."""
    budget = [f"loop.max_steps={steps}", f"loop.eval_every_steps={steps}", "output.plots=false", f"output.root={root}"]
    subprocess.run([sys.executable, "-m", "trainctl", *words, *budget], check=True, capture_output=True)
    (run,) = (path.parent for path in root.glob("*/summary.json"))
    summary = json.loads((run / "summary.json").read_text())
    digest = hashlib.sha256()
    with safe_open(next((run / "checkpoints").glob(f"last-{steps:08d}*.safetensors")), "pt") as tensors:
        for name in sorted(tensors.keys()):
            digest.update(tensors.get_tensor(name).contiguous().view(-1).view(torch.uint8).numpy().data)
    return 1000 * summary["seconds"] / steps, digest.hexdigest()[:12]


def by_hand(words: str, steps: int, folder: Path) -> float:
    """Train with DistributedDataParallel in two processes, and return the time for a step [ms]."""
    script = folder / "by_hand.py"
    script.write_text(textwrap.dedent(BY_HAND).format(words=words, steps=steps, warm_up=WARM_UP))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    return float(done.stdout.rpartition("MS ")[2].split()[0])


def main() -> None:
    """Measure all ways in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--words", default=WORDS)
    given = parser.parse_args()
    times: dict[str, list[float]] = {}
    digests: dict[str, str] = {}
    for _ in range(given.runs):
        for name, words in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                taken, digests[name] = train([*given.words.split(), *words], given.steps, Path(folder))
                times.setdefault(name, []).append(taken)
        with tempfile.TemporaryDirectory() as folder:
            name = "2 processes, DDP by hand"
            times.setdefault(name, []).append(by_hand(given.words, given.steps, Path(folder)))
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    print(f"{given.words}; {given.steps} steps, {given.runs} runs")
    reference = digests["1 process, 1 thread"]
    for name, values in times.items():
        same = {reference: "the bits of 1 process, 1 thread"}.get(digests.get(name, ""), "other bits")
        print(f"{name:<34}{statistics.median(values):8.2f} ms a step ({min(values):.2f} to {max(values):.2f})  {same}")


if __name__ == "__main__":
    main()
