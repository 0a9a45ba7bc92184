"""``fmd verify``: check a model file's contract and replay its golden inputs on this machine."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from edge.errors import EXIT_OK

log = logging.getLogger(__name__)


EXAMPLES = """\
It prints the contract of the file as JSON. The exit code is 1 where the file
is damaged, or where this machine computes other results than the machine that
converted the model.

examples:
  fmd verify mask.tflite
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd verify``."""
    parser.add_argument("model", type=Path, help="a model file made by fmd-convert")


def run(arguments: argparse.Namespace) -> int:
    """Check the file, replay its golden inputs and print the contract as JSON."""
    from edge.inference import bundle
    from edge.service import model_proof

    # The same three checks as at every start: contract, hash, golden inputs. This process does not open the model.
    data = bundle.read(arguments.model)
    loaded = bundle.parse(data, arguments.model)
    replayed = model_proof.check(data, arguments.model)
    print(json.dumps(bundle.described(loaded.contract), indent=1))
    # The sentence goes where the log goes: standard output is one JSON value, for programs.
    log.info(
        "%s: contract, hash and %d golden inputs are right on %s (largest difference: %.0f%% of what is allowed)",
        arguments.model,
        len(loaded.golden["inputs"]),
        replayed.runtime,
        100 * replayed.worst,
    )
    return EXIT_OK
