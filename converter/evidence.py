"""Pictures whose content is known: from the user's class folders, by fmd's own models, or composed by code.

Composed ones show the public-domain portrait that scikit-image carries, without a mask, with one, and with one worn
badly, at many sizes, angles and in many lights. One person's face cannot prove a model; it can show which output
answers a mask, and with which scaling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from converter import draw
from converter.calibrate import Calibration, Fit, Pictures, in_turn
from converter.names import role_of
from converter.noise import quiet
from edge.contracts import LABELS, WITH_MASK, WITHOUT_MASK, Box, Image
from edge.drivers import open_interpreter
from edge.drivers.doorway import FACE_CENTRE, draw_mask, load_portrait
from edge.errors import FmdError
from edge.inference import bundle
from edge.paths import shipped_model
from edge.stages.classify import crop_face, probabilities_of

Origin = Literal["your labelled pictures", "your pictures, labelled by fmd's own classifier", "composed pictures"]
Rng = np.random.Generator

OPINION = 0.9
"""Probability from which fmd's own classifier's answer to an unlabelled picture is taken for its label."""
MIN_OF_CLASS = 8
"""Pictures of each class that evidence needs; fewer decide nothing."""
Cloth = tuple[int, int, int]
DOWN = (30, 38, 46)
"""Pixels of the portrait by which a badly worn mask is too low: under the nose, and under the mouth."""
CLOTHS: tuple[Cloth, ...] = (
    (150, 196, 218),
    (240, 240, 240),
    (40, 40, 44),
    (120, 190, 160),
    (190, 170, 210),
    (60, 90, 150),
)
FACE_HEIGHT = 150.0
"""Pixels from chin to hairline of the portrait."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Pictures (n, height, width, 3) RGB bytes, the class of each, and where both come from.

    ``known`` says that a person labelled them. ``notes`` go into the report.
    """

    images: Image
    classes: tuple[str, ...]
    origin: Origin
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether a person labelled the pictures."""
        return self.origin == "your labelled pictures"

    @property
    def composed(self) -> bool:
        """Whether no photograph of the user's is among them."""
        return self.origin == "composed pictures"

    @property
    def brief(self) -> str:
        """The origin in two words."""
        short = {"your labelled pictures": "labelled pictures", "composed pictures": "composed pictures"}
        return short.get(self.origin, "pictures labelled by fmd's own classifier")

    def __len__(self) -> int:
        return len(self.classes)


def evidence_of(pictures: Calibration, fit: Fit, seed: int) -> Evidence:
    """The best evidence there is: labelled pictures, else the user's pictures by fmd's own models, else composed."""
    both = _joined(pictures.fit, pictures.proof)
    if not pictures.drawn:
        labelled = _balanced(both.images, both.labels)
        if labelled is not None:
            return Evidence(*labelled, "your labelled pictures")
        opinions = _balanced(both.images, own_opinions(both.images[:400]))
        if opinions is not None:
            note = f"fmd's own classifier labelled {len(opinions[1])} of your pictures, as they have no class folders"
            return Evidence(*opinions, "your pictures, labelled by fmd's own classifier", (note,))
    images, classes = composed(fit.height, fit.width, 96, seed)
    notes = () if pictures.drawn else (_why_not(both.labels),)
    return Evidence(images, classes, "composed pictures", notes)


def _why_not(labels: Sequence[str]) -> str:
    """Why the user's pictures are no evidence."""
    counts = Counter(label for label in labels if label)
    if not counts:
        return (
            f"your pictures have no class folders, and fmd's own classifier is not sure of {MIN_OF_CLASS} with and "
            f"{MIN_OF_CLASS} without a mask"
        )
    found = ", ".join(f"{count} of {name}" for name, count in sorted(counts.items()))
    return f"your labelled pictures are too few ({found}; expected {MIN_OF_CLASS} or more of two classes)"


def _joined(first: Pictures, second: Pictures) -> Pictures:
    return Pictures(
        np.concatenate([first.images, second.images]), first.labels + second.labels, first.names + second.names
    )


def _balanced(images: Image, labels: Sequence[str]) -> tuple[Image, tuple[str, ...]] | None:
    """Labelled pictures, classes in turn so that every beginning is balanced; None where there are too few."""
    enough = {label for label, count in Counter(filter(None, labels)).items() if count >= MIN_OF_CLASS}
    if len(enough) < 2:
        return None
    chosen = [i for i in in_turn(labels) if labels[i] in enough]
    return images[chosen], tuple(labels[i] for i in chosen)


def own_opinions(images: Image) -> tuple[str, ...]:
    """What fmd's shipped classifier makes of face pictures; empty where it is not sure, or is not there."""
    try:
        with quiet():
            model = bundle.load(shipped_model("classifier"), "classifier", open_interpreter)
    except (FmdError, OSError):
        return ("",) * len(images)
    size = (model.contract.input.height, model.contract.input.width)
    found = []
    for image in images:
        height, width = image.shape[:2]
        crop = crop_face(image, Box(0, 0, width, height), 0.0, size)
        answers = probabilities_of(model.run(crop)[0], model.contract)
        label = max(answers, key=lambda name: answers[name])
        sure = answers[label] >= OPINION and role_of(label) in ("masked", "bare", "badly worn")
        found.append(label if sure else "")
    return tuple(found)


def composed(height: int, width: int, count: int, seed: int) -> tuple[Image, tuple[str, ...]]:
    """``count`` crops (count, height, width, 3) of the portrait as the edge cuts faces, and the class of each.

    Two of five wear a mask, two none, one wears it badly. Faces drawn by code where scikit-image is not installed.
    """
    try:
        portrait = load_portrait()
    except FmdError:
        return draw.faces(height, width, count, seed)
    rng = np.random.default_rng(seed)
    kinds = [LABELS[(0, 1, 0, 1, 2)[i % 5]] for i in range(count)]
    worn = {(down, cloth): draw_mask(portrait, down, cloth) for down in (0, *DOWN) for cloth in CLOTHS}
    return np.stack([_view(portrait, worn, kind, height, width, rng) for kind in kinds]), tuple(kinds)


def _view(
    portrait: Image, worn: Mapping[tuple[int, Cloth], Image], kind: str, height: int, width: int, rng: Rng
) -> Image:
    """Return one crop. ``worn`` maps (pixels by which the mask is too low, its cloth) to the masked portrait."""
    picture = portrait
    if kind != WITHOUT_MASK:
        down = 0 if kind == WITH_MASK else DOWN[int(rng.integers(len(DOWN)))]
        picture = worn[down, CLOTHS[int(rng.integers(len(CLOTHS)))]]
    side = FACE_HEIGHT * float(rng.uniform(1.0, 1.9))
    scale_x, scale_y = width / side, height / side
    turn = np.deg2rad(float(rng.normal(0, 9)))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    # The far cheek is foreshortened when a head is turned.
    linear = np.diag([mirror * scale_x * float(rng.uniform(0.85, 1.1)), scale_y]) @ linear
    centre = np.array(FACE_CENTRE) + rng.normal(0, 7, 2)
    matrix = np.column_stack([linear, np.array([width / 2, height / 2]) - linear @ centre])
    if max(scale_x, scale_y) < 0.7:  # warpAffine does not average
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.4 / max(scale_x, scale_y)), np.uint8)
    view = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return _lit(np.asarray(view, np.uint8), rng)


def _lit(image: Image, rng: Rng) -> Image:
    """Another exposure, light from one side, a slight cast of colour, resolution lost, and noise."""
    height, width = image.shape[:2]
    light = np.linspace(float(rng.uniform(0.65, 1.2)), float(rng.uniform(0.65, 1.2)), width, dtype=np.float32)
    cast = rng.uniform(0.93, 1.07, 3).astype(np.float32)
    lit = image.astype(np.float32) * light[None, :, None] * cast + float(rng.normal(0, 8))
    if rng.random() < 0.6:
        small = max(24, int(rng.uniform(0.25, 1.0) * min(height, width)))
        lit = cv2.resize(cv2.resize(lit, (small, small), interpolation=cv2.INTER_AREA), (width, height))
    lit += rng.normal(0, float(rng.uniform(0, 5)), lit.shape).astype(np.float32)
    return np.clip(lit, 0, 255).astype(np.uint8)
