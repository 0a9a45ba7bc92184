"""The camera that ``camera.source = "auto"`` found: its frames name it, for the log."""

from __future__ import annotations

from dataclasses import replace

from edge.contracts import Camera, Frame


class FoundCamera:
    """Camera whose frames name ``device``; see :class:`edge.contracts.Camera`."""

    live = True

    def __init__(self, camera: Camera, device: str) -> None:
        self._camera, self._device = camera, device

    def read(self) -> Frame | None:
        """Return the next frame. Raises what the camera raises."""
        frame = self._camera.read()
        return None if frame is None else replace(frame, device=self._device)

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()
