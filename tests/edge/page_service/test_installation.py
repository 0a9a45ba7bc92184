"""A model from the page: proven, compared in the shadow of the present one, in use; or refused, with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge import state_file
from edge.errors import BundleError, ControlError
from edge.page_messages import PIECE, InstallRequest, ShadowStateReply, UploadRequest
from edge.page_service.installation import FINISHED, Installation, Place
from edge.page_service.uploads import Uploads
from edge.paths import shipped_model
from edge.service import model_installer, model_store, shadow_run
from edge.service.model_installer import Request, Result, perform
from edge.service.model_proof import Replayed
from edge.service.model_store import ModelStore
from edge.service.shadow_run import ShadowResult
from tests.edge.page_service.parts import settings
from tests.edge.parts import wait_for

Ask = Callable[[ModelStore, Request, bytes, str], Result]
OWNER = "owner, 192.0.2.7"


class Run:
    """Stands in for a run: a reload takes a request for a shadow run, and uses the model that the store names.

    ``disagreed`` of 100 observations differ. ``refuses`` is why it refuses a model that was switched to.
    """

    def __init__(self, folder: Path, disagreed: int = 0, refuses: str = "", shadows: bool = True) -> None:
        self.runtime, self.store = folder / "run", ModelStore(folder / "state")
        for each in (self.runtime, folder / "state"):
            each.mkdir()
        self.disagreed, self.refuses, self.shadows = disagreed, refuses, shadows
        self.rereads = True

    def check(self) -> None:
        if not self.rereads:
            raise ControlError("fmd runs in a terminal")

    def ask(self) -> Future[str]:
        answer: Future[str] = Future()
        result = self.runtime / shadow_run.RESULT
        request = shadow_run.open_request(self.store.folder, result)
        if request is not None and self.shadows:
            found = ShadowResult(
                request.file, request.task, 1.0, request.number, 1.0, 100, 100, self.disagreed, done=True
            )
            state_file.write_state(result, found)
        chosen = self.store.chosen("classifier")
        refused = self.refuses if chosen is not None else ""
        if not refused:
            used = chosen or shipped_model("classifier")
            model_store.write_in_use(self.runtime, shipped_model("detector"), used)
        answer.set_result(refused)
        return answer


REPLAYED = Replayed(0.0, "stub", "classifier", ("with_mask", "without_mask"))


def performed(store: ModelStore, request: Request, data: bytes, shown: str) -> Result:
    """Do a request as the installer does, without the slow proof of a model."""
    request = msgspec.structs.replace(request, sha256=hashlib.sha256(data).hexdigest() if data else "")
    result = perform(store, request, data, shown, lambda data, path: REPLAYED)
    if result.error:
        raise BundleError(result.error)
    return result


def installed(
    run: Run, content: bytes, events: list[Any], task: str = "classifier", ask: Ask = performed, **changed: Any
) -> ShadowStateReply:
    uploads = Uploads()
    for at in range(0, len(content), PIECE):
        uploads.add(UploadRequest(purpose="model", name="new.tflite", offset=at, piece=content[at : at + PIECE]))
    place = Place(run.store, run.runtime, run, lambda: settings(**changed), "fmd.toml", ask)  # type: ignore[arg-type]
    installation = Installation(place, uploads, lambda kind, content: events.append(content), shadow_s=1.0)
    assert installation.state().phase == "none"
    installation.begin(InstallRequest(name="new.tflite", task=task, who=OWNER))  # type: ignore[arg-type]
    if installation.state().phase not in FINISHED:
        with pytest.raises(ControlError, match="another model is being installed"):
            installation.begin(InstallRequest(name="new.tflite"))
    wait_for(lambda: installation.state().phase in FINISHED)
    return installation.state()


@pytest.fixture(scope="module")
def model() -> bytes:
    return shipped_model("classifier").read_bytes()


def test_a_model_that_agrees_is_in_use_at_the_end(tmp_path: Path, model: bytes) -> None:
    run, events = Run(tmp_path), []
    reply = installed(run, model, events, ask=model_installer.ask)
    assert reply.phase == "installed", reply.words
    chosen = run.store.chosen("classifier")
    assert chosen is not None
    assert chosen.read_bytes() == model
    assert reply.words == f"{chosen.name} is installed and in use."
    assert (reply.observations, reply.agreement, reply.share) == (100, 1.0, 1.0)
    assert [(event.name, event.who) for event in events] == [("new.tflite", OWNER)]
    assert shadow_run.open_request(run.store.folder, tmp_path / "none") is None, "withdrawn"


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ({"disagreed": 30}, "disagrees with the current model on 30.0% of observations"),
        ({"refuses": "it does not fit"}, "it does not fit; back to shipped"),
        ({"shadows": False}, "did not begin the shadow run"),
    ],
)
def test_a_model_that_does_not_do_is_not_in_use(tmp_path: Path, model: bytes, run: dict[str, Any], said: str) -> None:
    door = Run(tmp_path, **run)
    reply = installed(door, model, [])
    assert reply.phase == "refused"
    assert said in reply.words
    assert door.store.chosen("classifier") is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"task": "detector"}, "a model of the kind classifier, expected detector"),
        ({"model__classifier": "/x.tflite"}, "which overrides any installed model"),
        ({"decide__accept": ["respirator"]}, "no label of this model"),
    ],
)
def test_what_does_not_fit_the_settings_is_refused_before_the_shadow_run(
    tmp_path: Path, model: bytes, asked: dict[str, Any], said: str
) -> None:
    run = Run(tmp_path)
    reply = installed(run, model, [], **asked)
    assert reply.phase in ("refused", "failed")
    assert said in reply.words
    assert shadow_run.read_result(run.runtime / shadow_run.RESULT) is None


def test_a_run_that_cannot_reload_keeps_the_file_for_later(tmp_path: Path) -> None:
    run, uploads = Run(tmp_path), Uploads()
    run.rereads = False
    uploads.add(UploadRequest(purpose="model", name="new.tflite", offset=0, piece=b"x"))
    place = Place(run.store, run.runtime, run, settings, "fmd.toml")  # type: ignore[arg-type]
    installation = Installation(place, uploads, lambda kind, content: None)
    with pytest.raises(ControlError, match="runs in a terminal"):
        installation.begin(InstallRequest(name="new.tflite"))
    assert installation.state().phase == "none"
    assert uploads.take("model", "new.tflite") == b"x"
