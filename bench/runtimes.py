"""The same model on two runtimes: a TFLite file on LiteRT, an ONNX file on onnxruntime, in turns on the same pictures.

    fmd-convert models/mask_classifier.keras --also onnx -o mask.tflite
    python -m bench runtimes models/mask_classifier.tflite mask.onnx

Both run in one process, and the first of a pair alternates, so that other programs disturb both alike. A picture's time
includes the conversion of its pixels. Memory is that of a process of its own for each file, less one that loads none.
Times are those of this machine's processor, or of the provider that onnxruntime chose, which is printed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.measure import Measurement, report
from edge import drivers
from edge.errors import FmdError, exit_code_of
from edge.inference.bundle import Model, load, unpack


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("files", nargs="+", type=Path, help="pairs of a TFLite file and an ONNX file of one model")
    parser.add_argument("--runs", type=int, default=300, help="inferences of each file (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="model.threads (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Measure each pair and print the measurements; they inform, and have no bar."""
    if len(arguments.files) % 2:
        raise FmdError(f"got {len(arguments.files)} files, expected pairs of a TFLite file and an ONNX file")
    pairs = zip(arguments.files[::2], arguments.files[1::2], strict=True)
    return report([one for pair in pairs for one in measured(pair, arguments.runs, arguments.threads)])


def measured(files: tuple[Path, Path], runs: int, threads: int) -> list[Measurement]:
    """Return times and memory of both files, and their ratios, the second over the first."""
    models = [open_model(file, threads) for file in files]
    tasks = {model.contract.task for model in models}
    if len(tasks) > 1:
        raise FmdError(f"{files[0]} and {files[1]}: got a {' and a '.join(sorted(tasks))}, expected one model twice")
    wall_s, cpu_s = timed(models, runs)
    empty_mb = peak_mb(None, threads)
    memory = [peak_mb(file, threads) - empty_mb for file in files]
    task = tasks.pop()
    lines = []
    for model, wall, cpu, megabytes in zip(models, wall_s, cpu_s, memory, strict=True):
        name = f"{task} on {model.runtime}"
        lines += [
            Measurement(f"{name}: a picture, median", 1000 * float(np.median(wall)), "ms"),
            Measurement(f"{name}: processor", 1000 * float(np.mean(cpu)), "ms CPU"),
            Measurement(f"{name}: memory", megabytes, "MB"),
        ]
    ratios = {"a picture, median of pairs": float(np.median(np.divide(wall_s[1], wall_s[0])))}
    ratios |= {"processor": float(np.sum(cpu_s[1]) / np.sum(cpu_s[0])), "memory": memory[1] / memory[0]}
    return lines + [Measurement(f"{task}: second over first, {what}", ratio, "") for what, ratio in ratios.items()]


def open_model(file: Path, threads: int) -> Model:
    """Return a model after the replay of its golden inputs, which also warms it up."""
    model = load(file, unpack(file).contract.task, lambda network: drivers.open_interpreter(network, threads))
    model.replay()
    return model


def timed(models: Sequence[Model], runs: int) -> tuple[list[list[float]], list[list[float]]]:
    """Return wall-clock and processor seconds of every run of each model."""
    wall_s: list[list[float]] = [[] for _ in models]
    cpu_s: list[list[float]] = [[] for _ in models]
    sizes = [(model.contract.input.height, model.contract.input.width) for model in models]
    pictures = [np.random.default_rng(0).integers(0, 256, (8, *size, 3), dtype=np.uint8) for size in sizes]
    for turn in range(runs):
        order = range(len(models)) if turn % 2 else reversed(range(len(models)))
        for k in order:
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
            models[k].run(pictures[k][turn % 8])
            wall_s[k].append(time.perf_counter() - began_s)
            cpu_s[k].append(time.process_time() - began_cpu_s)
    return wall_s, cpu_s


def peak_mb(file: Path | None, threads: int) -> float:
    """Return the peak memory of a process that loads a file and replays it, or none, in megabytes (10^6 bytes)."""
    command = [sys.executable, "-m", "bench.runtimes", str(threads), *([str(file)] if file else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise FmdError(f"{file}: {lines[-1].removeprefix('error: ')}")
    return float(done.stdout.split()[-1])


def main(argv: Sequence[str]) -> int:
    """Load a file in this process and print its peak memory."""
    threads, *files = argv

    def body() -> int:
        for file in files:
            open_model(Path(file), int(threads))
        # Not ru_maxrss, which begins with the memory of the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        print(int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6)
        return 0

    return exit_code_of(body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
