"""Converts the corpus and compares the files with plain Keras, without the converter's own code.

A file is right when its accuracy on the held-out pictures is at most one point below the original's. The pictures are
prepared by the generator for the original, and by what the contract inside the file says for the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.corpus.kinds import Kind, held_out
from tests.corpus.more import KINDS
from tests.corpus.pictures import Array, calibration_folder

MODES = ("plain", "pictures", "options")
MAX_LOSS = 0.01
MASKED, BARE = ("withmask", "mask", "masked"), ("withoutmask", "nomask")
NEXT_STEP = re.compile(r"--\w|[Gg]ive |fmd-train|fmd-convert|save |unzip|download|git lfs|pip install|train it|copy it")


def words(name: str, mode: str, cache: Path, pictures: Path) -> list[str]:
    """What is typed for one kind in one mode, without the output."""
    kind, folder = KINDS[name], cache / "kinds" / name.replace("/", "-")
    path = str(np.load(folder / "expected.npz")["path"])
    given = [str(folder / path)]
    if mode != "plain":
        given += ["--calibration", str(pictures)]
    if mode == "options":
        given += [word.replace("{folder}", str(folder / path / "..")) for word in kind.options()]
    return given


def convert_all(chosen: Sequence[str], modes: Sequence[str], cache: Path, again: bool) -> int:
    """Run the command for each kind and mode; what it printed and returned is kept in the cache."""
    from converter.cli import main

    pictures = calibration_folder(cache / "pictures")
    for name in sorted(chosen, key=lambda name: KINDS[name].net.height):
        for mode in modes:
            place = cache / "runs" / name.replace("/", "-") / mode
            if (place / "run.json").is_file() and not again:
                continue
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            typed = [*words(name, mode, cache, pictures), "-o", str(place / "mask.tflite"), "--no-report"]
            began_s = time.monotonic()
            with captured() as printed:
                try:
                    code: Any = main(typed, isolated=False)
                except SystemExit as error:
                    code = error.code
            took_s = time.monotonic() - began_s
            run = {"words": typed, "code": code, "seconds": round(took_s, 1), "printed": printed[0]}
            (place / "run.json").write_text(json.dumps(run, indent=1))
            print(f"{name:40} {mode:9} exit {code} in {took_s:5.1f} s", flush=True)
    return 0


@contextlib.contextmanager
def captured() -> Iterator[list[str]]:
    """Everything that is written to stdout and stderr, as one text."""
    printed = [""]
    with tempfile.TemporaryFile() as sink:
        sys.stdout.flush(), sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        os.dup2(sink.fileno(), 1), os.dup2(sink.fileno(), 2)
        try:
            yield printed
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os.dup2(kept[0], 1), os.dup2(kept[1], 2)
            os.close(kept[0]), os.close(kept[1])
            sink.seek(0)
            printed[0] = sink.read().decode(errors="replace")


def answers_of(file: Path, images: Array) -> list[str]:
    """Label that a converted file gives each RGB picture, by its contract alone."""
    from ai_edge_litert.interpreter import Interpreter

    with zipfile.ZipFile(file) as archive:
        contract = json.loads(archive.read("fmd.json"))
    interpreter: Any = Interpreter(model_path=str(file))
    interpreter.allocate_tensors()
    (entry,), last = interpreter.get_input_details(), interpreter.get_output_details()[0]
    labels, found = contract["labels"], []
    spec = contract["input"]
    for image in images:
        if spec["colour"] == "GRAY":
            pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        else:
            pixels = image[..., ::-1] if spec["colour"] == "BGR" else image
        real = pixels.astype(np.float64) * spec["scale"] + spec["offset"]
        scale, zero = entry["quantization"]
        stored = np.rint(real / scale) + zero if scale else real
        interpreter.set_tensor(entry["index"], stored[None].astype(entry["dtype"]))
        interpreter.invoke()
        answer = interpreter.get_tensor(last["index"])[0].astype(np.float64)
        scale, zero = last["quantization"]
        answer = (answer - zero) * scale if scale else answer
        found.append(labels[int(answer[0] > 0.5) if len(answer) == 1 else int(answer.argmax())])
    return found


def original(kind: Kind, answers: Array) -> list[str]:
    """Label that plain Keras gives each picture."""
    picks = (answers[:, 0] > 0.5).astype(int) if kind.net.neurons == 1 else answers.argmax(axis=1)
    return [kind.names[int(i)] for i in picks]


def right(said: Sequence[str], kinds: Array, kind: Kind | None = None) -> float:
    """Share of pictures whose label means what they show; ``kind`` translates its author's own names."""
    meant = dict(zip(kind.names, kind.net.order, strict=True)) if kind else {}
    plain = [re.sub("[^a-z]", "", meant.get(name, name).lower()) for name in said]
    return float(
        np.mean([(name in MASKED if kind == 0 else name in BARE) for name, kind in zip(plain, kinds, strict=True)])
    )


def judged(name: str, mode: str, cache: Path) -> dict[str, Any]:
    """Outcome of one run: ``right``, ``WRONG``, ``refused`` or ``BAD REFUSAL``, and the accuracies."""
    kind, place = KINDS[name], cache / "runs" / name.replace("/", "-") / mode
    run = json.loads((place / "run.json").read_text())
    error = next((line for line in run["printed"].splitlines() if line.startswith(("error:", "unexpected"))), "")
    found = {"seconds": run["seconds"], "error": error, "code": run["code"]}
    unwanted = not kind.readable or (kind.misled and mode == "options")
    if run["code"] != 0:
        good = run["code"] == 1 and NEXT_STEP.search(run["printed"]) and (not unwanted or kind.says in run["printed"])
        return {**found, "outcome": "refused" if good else "BAD REFUSAL"}
    if unwanted:
        return {**found, "outcome": "WRONG"}
    images, kinds = held_out(kind)
    kept = np.load(cache / "kinds" / name.replace("/", "-") / "expected.npz")
    had = original(kind, kept["answers"])
    got = answers_of(place / "mask.tflite", images)
    was, now = right(had, kinds, kind), right(got, kinds, kind)
    alike = [right([a], [k], kind) == right([b], [k], kind) for a, b, k in zip(had, got, kinds, strict=True)]
    same = float(np.mean(alike))
    with zipfile.ZipFile(place / "mask.tflite") as archive:
        contract = json.loads(archive.read("fmd.json"))
    scaling = f"{contract['scaling']['name']} {contract['input']['colour']} {contract['quantization']}"
    outcome = "right" if now >= was - MAX_LOSS - 1e-9 else "WRONG"
    return {**found, "outcome": outcome, "was": was, "now": now, "same": same, "scaling": scaling}


def table(chosen: Sequence[str], cache: Path) -> int:
    """Print a row a kind and the totals; 1 where a bar is missed."""
    results = {
        name: {
            m: judged(name, m, cache)
            for m in MODES
            if (cache / "runs" / name.replace("/", "-") / m / "run.json").is_file()
        }
        for name in chosen
    }
    print(
        "| kind | without options | with --calibration | with the options | Keras | file |\n|---|---|---|---|---|---|"
    )
    for name, row in results.items():
        cells = [cell(row.get(mode)) for mode in MODES]
        last = next((row[m] for m in reversed(MODES) if "was" in row.get(m, {})), {})
        accuracies = [f"{100 * last[key]:.1f}" if key in last else "" for key in ("was", "now")]
        print(f"| {name} | {' | '.join([*cells, *accuracies])} |")
    return totals(results)


def cell(run: dict[str, Any] | None) -> str:
    if run is None:
        return ""
    if "was" in run:
        return f"{run['outcome']} ({run['scaling']}), {100 * run['now']:.1f}, {run['seconds']:.0f} s"
    return f"{run['outcome']}, {run['seconds']:.0f} s"


def totals(results: dict[str, dict[str, Any]]) -> int:
    readable = [name for name in results if KINDS[name].readable]
    rows = [run for row in results.values() for run in row.values()]
    wrong = sum(run["outcome"] == "WRONG" for run in rows)
    bad = sum(run["outcome"] == "BAD REFUSAL" for run in rows)
    shares = {}
    for mode in MODES:
        asked = [n for n in readable if mode in results[n] and not (KINDS[n].misled and mode == "options")]
        done = sum(results[n][mode]["outcome"] == "right" for n in asked)
        shares[mode] = done / max(1, len(asked))
        print(f"\n{mode}: {done} of {len(asked)} readable kinds converted rightly")
    plain = [row["plain"]["seconds"] for row in results.values() if "plain" in row and row["plain"]["code"] != 0]
    print(f"\nwrong files with exit code 0: {wrong}; refusals without a next step: {bad}; ", end="")
    print(f"longest refusal without options: {max(plain, default=0):.0f} s")
    return int(wrong > 0 or bad > 0 or shares["pictures"] < 0.9 or shares["options"] < 1)
