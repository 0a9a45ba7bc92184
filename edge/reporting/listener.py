"""Interface of what follows a run: console, messages, record, metrics, status file, recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from edge.config import Settings
from edge.contracts import Decision, Delivery, Health, ModelFallback, Step
from edge.messages import ArmingMessage, DriftMessage


class Listener(Protocol):
    """Receives the events of a run, in the thread of the loop; subclass it and override what matters.

    A listener returns within microseconds: it may not wait for a disk or a network. Whatever it raises ends the run,
    with the outputs off.
    """

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """One frame has passed the pipeline. The decisions that it led to were reported before."""
        return

    def on_decision(self, decision: Decision) -> None:
        """A person was decided, decided differently, or left."""
        return

    def on_health(self, health: Health) -> None:
        """The state of a camera has changed, or whether the board keeps up with it."""
        return

    def on_arming(self, arming: ArmingMessage) -> None:
        """A run begins in this state, or it has changed: armed or disarmed (with its source and end), and muted."""
        return

    def on_hint(self, camera: str, kind: str, hint: str) -> None:
        """A camera works, but not as its user wants, as ``hint`` explains; an empty one ends the hint of this kind."""
        return

    def on_drift(self, camera: str, drift: DriftMessage) -> None:
        """A run begins with these changes of a camera and of people's behaviour, or they are new ones."""
        return

    def on_settings(self, settings: Settings) -> None:
        """A run begins with these settings: at the start and after every reload."""
        return

    def on_models(self, fallbacks: Sequence[ModelFallback]) -> None:
        """The models of this run are open; these are the tasks whose installed model is not used. After settings."""
        return


def report_step(listener: Listener, step: Step, delivery: Delivery) -> None:
    """Report a step to ``listener``: its decisions first, then the step itself.

    Only the loop calls this. A listener that passes events on must not report the decisions a second time.
    """
    for decision in step.decisions:
        listener.on_decision(decision)
    listener.on_step(step, delivery)


class Listeners(Listener):
    """Passes every event on to several listeners, in their order; may be one of several itself."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """See :class:`Listener`."""
        for listener in self._listeners:
            listener.on_step(step, delivery)

    def on_decision(self, decision: Decision) -> None:
        """See :class:`Listener`."""
        for listener in self._listeners:
            listener.on_decision(decision)

    def on_health(self, health: Health) -> None:
        """See :class:`Listener`."""
        for listener in self._listeners:
            listener.on_health(health)

    def on_arming(self, arming: ArmingMessage) -> None:
        """See :class:`Listener`."""
        for listener in self._listeners:
            listener.on_arming(arming)

    def on_hint(self, camera: str, kind: str, hint: str) -> None:
        """See :class:`Listener`."""
        for listener in self._listeners:
            listener.on_hint(camera, kind, hint)

    def on_drift(self, camera: str, drift: DriftMessage) -> None:
        """See :class:`Listener`."""
        for listener in self._listeners:
            listener.on_drift(camera, drift)

    def on_settings(self, settings: Settings) -> None:
        """See :class:`Listener`."""
        for listener in self._listeners:
            listener.on_settings(settings)

    def on_models(self, fallbacks: Sequence[ModelFallback]) -> None:
        """See :class:`Listener`."""
        for listener in self._listeners:
            listener.on_models(fallbacks)


class Callbacks(Listener):
    """A listener made of plain functions, for programs that need only one or two events."""

    def __init__(
        self,
        on_step: Callable[[Step], object] | None = None,
        on_decision: Callable[[Decision], object] | None = None,
        on_health: Callable[[Health], object] | None = None,
    ) -> None:
        self._on_step, self._on_decision, self._on_health = on_step, on_decision, on_health

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """See :class:`Listener`."""
        if self._on_step is not None:
            self._on_step(step)

    def on_decision(self, decision: Decision) -> None:
        """See :class:`Listener`."""
        if self._on_decision is not None:
            self._on_decision(decision)

    def on_health(self, health: Health) -> None:
        """See :class:`Listener`."""
        if self._on_health is not None:
            self._on_health(health)
