"""Settings from sorted pictures: right on answers whose truth is chosen here, and with the shipped classifier."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge import config, paths
from edge.commands import settings_text
from edge.errors import SettingsError
from edge.inference import bundle, picture_file
from edge.record import learn, replay
from edge.record.evidence import Weighed, packed
from edge.record.learn import Sorted
from edge.record.replay import Recorded
from edge.record.rows import RunRow
from edge.stages.classify import crop_face
from edge.stages.decide import tempered
from tests.edge.parts import fmd
from tests.edge.record.parts import Clock
from tests.edge.record.parts import passage as recorded_row

LABELS = ("with_mask", "without_mask", "with_incorrect_mask")


def sorted_pictures(people: int, sureness: float, each: int = 1) -> list[Sorted]:
    """Return pictures whose right label is drawn from the true probabilities; the answers exaggerate those."""
    chance, found = np.random.default_rng(1), []
    for person in range(people):
        true = chance.dirichlet((1.0, 1.0, 1.0))
        label = LABELS[chance.choice(3, p=true)]
        said = true**sureness / (true**sureness).sum()
        found += [Sorted(str(person), label, (tuple(said.tolist()),))] * each
    return found


@pytest.mark.parametrize("sureness", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_what_the_answers_exaggerate(sureness: float) -> None:
    found = learn.fit_temperature(sorted_pictures(400, sureness), LABELS, 1.0)
    assert found.fitted.low < sureness < found.fitted.high
    assert found.fitted.value == pytest.approx(sureness, rel=0.25)
    assert found.after <= found.before
    assert found.found


def test_pictures_of_one_person_do_not_count_as_several_people() -> None:
    once = learn.fit_temperature(sorted_pictures(60, 2.0), LABELS, 1.0)
    often = learn.fit_temperature(sorted_pictures(60, 2.0, each=10), LABELS, 1.0)
    assert often.fitted == once.fitted
    assert often.accuracy == pytest.approx(once.accuracy)


@pytest.mark.parametrize("right", [True, False])
def test_no_temperature_is_found_where_none_helps(right: bool) -> None:
    chance = np.random.default_rng(2)
    pictures = [
        Sorted(
            str(i),
            LABELS[0 if right else chance.integers(3)],
            ((0.98, 0.01, 0.01) if i % 2 or right else (0.01, 0.01, 0.98),),
        )
        for i in range(60)
    ]
    assert not learn.fit_temperature(pictures, LABELS, 1.0).found


def test_a_higher_temperature_needs_more_observations() -> None:
    assert tempered({"a": 0.9, "b": 0.1}, 1.0) == {"a": 0.9, "b": 0.1}
    warm = tempered({"a": 0.9, "b": 0.1}, 2.0)
    assert warm["a"] == pytest.approx(0.75)
    assert sum(warm.values()) == pytest.approx(1)
    found = passage(1, [0.9] * 20)
    now, later = (replay.replay(found, config.load(None, {"decide.temperature": t}).decide) for t in (1.0, 2.0))
    assert now.alarm_s is not None
    assert later.alarm_s is not None
    assert now.alarm_s < later.alarm_s


def passage(entered: int, wrong: list[float]) -> Recorded:
    """Return a passage of observations with these probabilities of no mask, 0.1 s apart."""
    evidence = tuple(Weighed(0.1 * (i + 1), 0.9, True, (1 - p, p)) for i, p in enumerate(wrong))
    ended = entered + 100 * (len(wrong) + 1)
    return Recorded(entered, "", entered, None, None, ended, "", False, len(wrong), LABELS[:2], LABELS[0], evidence)


def people() -> tuple[list[Recorded], dict[str, bool]]:
    """Return people with masks whose first two observations err, and people without, all easy."""
    passages = [passage(i, [0.8, 0.8, *[0.03] * 20]) for i in range(30)] + [
        passage(i, [0.95] * 20) for i in range(30, 60)
    ]
    return passages, {str(i): i >= 30 for i in range(60)}


def test_the_error_rate_that_errs_least_is_found_and_is_better_on_others() -> None:
    passages, truth = people()
    found = learn.fit_error_rate(passages, truth, config.load(None, {"decide.error_rate": 0.1}).decide)
    assert (found.before, found.after) == (0.5, 0.0)
    assert found.error_rate < 0.1
    assert found.saved.low > 0.2


def test_an_error_rate_that_is_good_stays() -> None:
    passages, truth = people()
    found = learn.fit_error_rate(passages, truth, config.load().decide)
    assert found.error_rate == config.load().decide.error_rate
    assert found.saved == (0.0, 0.0, 0.0)


def test_a_person_sorted_with_and_without_a_mask_says_nothing_about_decisions() -> None:
    pictures = [
        Sorted("1", LABELS[0], ()),
        Sorted("1", LABELS[1], ()),
        Sorted("2", LABELS[1], ()),
        Sorted("3", LABELS[0], ()),
    ]
    assert learn.truth_of(pictures, {LABELS[0]}) == {"2": True, "3": False}


SETTINGS = """\
# The door of the bakery.
version = 5
[camera]
source = "picamera2"  # on the left
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SETTINGS, SETTINGS + "\n[decide]\nerror_rate = 0.01\n"),
        ("", "[decide]\nerror_rate = 0.01\n"),
        ("[decide] # mine\nerror_rate = 0.002 # was 0.1\n", "[decide] # mine\nerror_rate = 0.01 # was 0.1\n"),
        ('[decide]\non_unsure = "alarm"\n[mqtt]\n', '[decide]\nerror_rate = 0.01\non_unsure = "alarm"\n[mqtt]\n'),
        ("[mqtt]\r\nport = 1\r\n[decide]\r\n", "[mqtt]\r\nport = 1\r\n[decide]\r\nerror_rate = 0.01\r\n"),
        ("[decide]", "[decide]\nerror_rate = 0.01\n"),
    ],
)
def test_only_the_value_changes_in_a_settings_file(before: str, after: str) -> None:
    assert settings_text.changed(before, {"decide.error_rate": 0.01}, "fmd.toml") == after


@pytest.mark.parametrize(
    "text",
    [
        "decide = { error_rate = 0.1 }\n",
        "decide.error_rate = 0.1\n",
        '[notify]\nurls = ["""\n[decide]\n"""]\n',
        "[decide]\nerror_rate = [\n1]\n",
    ],
)
def test_a_file_of_another_form_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(SettingsError, match=r"write into it yourself: decide.error_rate = 0.01"):
        settings_text.changed(text, {"decide.error_rate": 0.01}, "fmd.toml")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return sorted pictures of the portrait with and without a mask in changing light; a sixth are sorted wrongly."""
    pytest.importorskip("skimage", reason="scikit-image is not installed: it has the portrait")
    from edge import example_picture, open_predictor

    folder, chance, predictor = tmp_path_factory.mktemp("faces"), np.random.default_rng(3), open_predictor()
    for label in LABELS:
        (folder / "sorted" / label).mkdir(parents=True)
    for masked in (True, False):
        picture = example_picture(masked)
        crop = crop_face(picture, predictor.predict(picture)[0].box, 0.2, (112, 112))
        for i in range(18):
            light = crop * chance.uniform(0.6, 1.3) + chance.normal(0, 6, crop.shape)
            label = LABELS[(not masked) ^ (i % 6 == 0)]
            name = f"{1_800_000_000_000 + i + 100 * masked}-0-unsure.jpg"
            picture_file.write_rgb(folder / "sorted" / label / name, light.clip(0, 255).astype(np.uint8))
    return folder


def test_learn_proposes_and_writes_only_if_asked(faces: Path, tmp_path: Path) -> None:
    settings = tmp_path / "fmd.toml"
    settings.write_text(SETTINGS)
    settings.chmod(0o640)
    found = fmd("examples", "learn", faces, "--config", settings, "--state", tmp_path)
    assert found.returncode == 0, found.stderr
    assert "36 pictures of 36 people: 18 with_mask, 18 without_mask, 0 with_incorrect_mask" in found.stdout
    [share, low, high] = (float(n) for n in re.findall(r"([\d.]+)%", found.stdout.splitlines()[1].replace("95%", "")))
    assert low < share < high
    assert 75 < share < 90
    assert "decide.error_rate stays: the record holds 0 of these people" in found.stdout
    [value] = re.findall(r"proposed: decide.temperature = ([\d.]+); nothing was changed", found.stdout)
    assert float(value) > 1.2
    assert settings.read_text() == SETTINGS
    found = fmd("examples", "learn", faces, "--config", settings, "--state", tmp_path, "--apply", settings)
    assert found.returncode == 0, found.stderr
    assert settings.read_text() == f"{SETTINGS}\n[decide]\ntemperature = {value}\n"
    assert settings.stat().st_mode & 0o777 == 0o640
    # Once applied, the same pictures say that it is right.
    found = fmd("examples", "learn", faces, "--config", settings, "--state", tmp_path)
    assert "nothing to change" in found.stdout


def test_decisions_are_learned_from_the_record_of_the_same_people(faces: Path, tmp_path: Path) -> None:
    """Three sure errors begin each passage with a mask; the settings decide on two."""
    clock, wrong, right = Clock(), (0.001, 0.998, 0.001), (0.998, 0.001, 0.001)
    record = clock.record(tmp_path, mb_a_day=1000)
    sha256 = bundle.unpack(paths.shipped_model("classifier")).contract.sha256
    record.begin_run(RunRow(classifier=sha256[:12], labels=LABELS, compliant=LABELS[0]))
    for number, path in enumerate(sorted(faces.rglob("*.jpg")), 1):
        shown = [wrong] * 3 + [right if path.parent.name == LABELS[0] else wrong] * 20
        evidence = packed([Weighed(0.1 * (i + 1), 0.9, True, shares) for i, shares in enumerate(shown)])
        record.add_passage(recorded_row(number, entered=int(path.name[:13]), evidence=evidence))
    record.close()
    settings = tmp_path / "fmd.toml"
    settings.write_text("[decide]\nerror_rate = 0.1 # early\n")
    found = fmd("examples", "learn", faces, "--config", settings, "--state", tmp_path, "--apply", settings)
    assert found.returncode == 0, found.stderr
    assert "for each of 36 people, an unsure one counts half: 0.500, with it 0.000" in found.stdout
    assert "all 36 recorded passages, clear ones too" in found.stdout
    now, proposed = (line.split() for line in found.stdout.splitlines() if line.startswith(("now", "proposed")))
    assert (now[1], proposed[1]) == ("36", "18")  # alarms
    assert config.load(settings).decide.error_rate < 0.1
    assert settings.read_text().splitlines()[2].endswith(" # early")


@pytest.mark.parametrize("what", ["few", "label", "damaged", "none"])
def test_pictures_that_teach_nothing_are_refused_in_one_line(faces: Path, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "faces"
    shutil.copytree(faces, folder)
    if what == "few":
        for path in sorted((folder / "sorted/with_mask").iterdir()):
            path.unlink()
        expected = "18 people, expected 30 or more"
    elif what == "label":
        (folder / "sorted/with_mask").rename(folder / "sorted/mask")
        expected = "no label of the classifier, expected with_mask, without_mask"
    elif what == "damaged":
        (folder / "sorted/with_mask/x.jpg").write_bytes(b"\xff\xd8 no picture")
        expected = "x.jpg"
    else:
        folder, expected = tmp_path / "missing", "No such file or directory; name the folder of fmd examples export"
    found = fmd("examples", "learn", folder, "--state", tmp_path)
    assert found.returncode == 1, found.stdout
    assert expected in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
