"""What is fuzzed: a target makes a case's input from a random generator, and reads it as fmd does.

A target is a module-level function without arguments that prepares it once per process and returns (make, read, the
expected errors). Everything that a target imports is imported there.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import json
import os
import random
import signal
import socket
import struct
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge.errors import BundleError, CameraError, CardError, FmdError, RecordError, SettingsError
from tests.fuzz import mutate

Make = Callable[[random.Random], bytes]
Read = Callable[[bytes], None]
HERE = Path(__file__).parent
MODELS = HERE.parent / "edge/hostile_models"
NATIVE_S = 1
"""Seconds for a model file; the real child process gives it longer."""


class Target(NamedTuple):
    """How inputs are made and read, and the errors that are right."""

    make: Make
    read: Read
    expected: tuple[type[BaseException], ...]


class Contained(Exception):  # noqa: N818 (no error: what the child process is for)
    """A native crash or an endless loop that production confines to a child process."""


FLATBUFFER = b"\x1c\0\0\0TFL3" + bytes(range(256)) * 4
LABELS = ("with_mask", "without_mask", "with_incorrect_mask")


def contract_of(flatbuffer: bytes, size: int, **more: Any) -> dict[str, Any]:
    """Return a valid contract with every optional part, as JSON values."""
    from edge.inference.bundle import sha256

    counts = [[9, 1, 0], [0, 8, 2], [1, 1, 7]]
    plain: dict[str, Any] = {
        "format": 2,
        "task": "classifier",
        "name": "mask",
        "sha256": sha256(flatbuffer),
        "source_sha256": "0" * 64,
        "input": {"height": size, "width": size, "scale": 1.0, "offset": 0.0, "colour": "RGB"},
        "quantization": "int8",
        "reason": "the smallest that passes",
        "versions": {"keras": "3.15.1", "fmd": "0.1"},
        "parity": {"agreement": 0.99},
        "labels": list(LABELS),
        "compliant": "with_mask",
        "background": None,
        "output": "softmax",
        "crop_margin": 0.2,
        "strides": [],
        "heatmap": False,
        "scaling": {
            "name": "0..255",
            "scale": [1.0, 1.0, 1.0],
            "offset": [0.0, 0.0, 0.0],
            "why": "a layer",
            "guessed": False,
        },
        "confusion": {"labels": list(LABELS), "observation": counts, "passage": counts},
        "temperature": 0.8,
    }
    return {**plain, **more}


def arrays_of(size: int, labels: int = 3, count: int = 2) -> bytes:
    """Return golden data of noise."""
    rng, made = np.random.default_rng(0), io.BytesIO()
    inputs = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    np.savez_compressed(made, inputs=inputs, output_0=rng.random((count, labels), np.float32))
    return made.getvalue()


def file_of(flatbuffer: bytes, contract: bytes, arrays: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a model file of any parts."""
    made = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(made, "a", method) as archive:
        archive.writestr(zipfile.ZipInfo("fmd.json"), contract)
        archive.writestr(zipfile.ZipInfo("golden.npz"), arrays)
    return made.getvalue()


def bundle() -> Target:
    """Whole model files, TFLite and ONNX: the zip, its directory and what it holds."""
    from edge.inference import bundle as reader
    from edge.inference import onnx_file

    contract = json.dumps(contract_of(FLATBUFFER, 8)).encode()
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    seeds = [file_of(FLATBUFFER, contract, arrays_of(8), method) for method in methods]
    seeds.append(onnx_file.joined(b"\x08\x08\x12\x04test", contract, b"UEsDBA=="))
    tokens = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x07", b"fmd.json", b"golden.npz", b"\x72\x08\x0a")

    def make(rng: random.Random) -> bytes:
        data = bytearray(mutate.of_bytes(rng, seeds, tokens))
        # Most random places lie in pixels; the directory decides.
        for _ in range(rng.randrange(3)):
            at = max(0, len(data) - rng.randrange(1, 220))
            data[at : at + 1] = bytes((rng.choice((0, 1, 8, 12, 14, 127, 255)),))
        return bytes(data)

    return Target(make, lambda data: _ignored(reader.parse(data, Path("fuzz.tflite"))), (BundleError,))


def contract() -> Target:
    """Contracts in an otherwise valid file."""
    from edge.inference import bundle as reader

    arrays, words = arrays_of(8), ("with_mask", "detector", "sigmoid", "anchor-free", "GRAY", "heatmap")
    plain = json.dumps(contract_of(FLATBUFFER, 8))

    def make(rng: random.Random) -> bytes:
        value = mutate.of_json(rng, json.loads(plain), words)
        data = json.dumps(value).encode("utf-8", "surrogatepass")
        return mutate.of_bytes(rng, [data], (b"NaN", b"1e999", b"\xff", b"[" * 2000)) if rng.random() < 0.3 else data

    def read(data: bytes) -> None:
        found = reader.parse(file_of(FLATBUFFER, data, arrays), Path("fuzz.tflite"))
        # What is accepted reaches terminals and logs.
        shown = json.dumps(reader.described(found.contract), ensure_ascii=False)
        assert shown.isprintable(), shown
        assert len(shown) < reader.MAX_CONTRACT

    return Target(make, read, (BundleError,))


def golden() -> Target:
    """Golden data in an otherwise valid file."""
    from edge.inference import bundle as reader

    contract = json.dumps(contract_of(FLATBUFFER, 8)).encode()
    kinds = ("|u1", "<f4", "<f8", "|O", "<U4", "|S3", "<c8", "<M8[s]", "|b1", ">f4", "<i8", "|V8")
    tokens = (b"\x93NUMPY\x01\x00", b"(" * 500, b"'shape': (", b"True", b"99999999, ", b"|O")

    def array(rng: random.Random) -> bytes:
        shape = tuple(rng.choice((0, 1, 2, 3, 8, 65)) for _ in range(rng.randrange(5)))
        made = io.BytesIO()
        kind = np.dtype(rng.choice(kinds))
        np.save(made, np.zeros(shape, kind), allow_pickle=True)
        data = made.getvalue()
        return mutate.of_bytes(rng, [data], tokens) if rng.random() < 0.5 else data

    def make(rng: random.Random) -> bytes:
        if rng.random() < 0.4:
            return mutate.of_bytes(rng, [arrays_of(8)], tokens)
        made = io.BytesIO()
        names = ["inputs", "output_0", "output_1", "output_2", "x", "inputs", "../x"]
        with zipfile.ZipFile(made, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name in dict.fromkeys(rng.sample(names, rng.randrange(1, 5))):
                archive.writestr(f"{name}.npy", array(rng))
        return made.getvalue()

    def read(data: bytes) -> None:
        reader.parse(file_of(FLATBUFFER, contract, data), Path("fuzz.tflite"))

    return Target(make, read, (BundleError,))


def flatbuffer() -> Target:
    """Flatbuffers with a valid contract, opened and replayed as the child process does it; every 500th in a real one.

    A crash or an endless loop is what the child is for. Each case runs in a fork, because it damages the process.
    """
    from edge import child
    from edge.drivers import runtime_version
    from edge.service import model_proof

    seeds = [(MODELS / f"{name}.tflite").read_bytes() for name in ("tiny", "endless", "crash")]
    runtime_version(seeds[0])
    arrays = arrays_of(8, labels=2, count=1)

    def make(rng: random.Random) -> bytes:
        # An endless loop costs a second: a few show that it ends.
        chosen = seeds if rng.random() < 0.02 else [seeds[0], seeds[2]]
        data = mutate.of_bytes(rng, chosen, most=1 << 16)
        contract = contract_of(data, 8, labels=["a", "b"], compliant="a", confusion=None)
        return file_of(data, json.dumps(contract).encode(), arrays)

    def read(data: bytes) -> None:
        if int.from_bytes(data[-500:-496], "little") % 500 == 0:
            model_proof.check(data, Path("fuzz.tflite"))
            return
        _in_fork(lambda: model_proof.open_model({"data": data, **OPENED}, Path(), _NoPipe()))

    class _NoPipe(child.PipeProgress):
        def __init__(self) -> None:
            super().__init__(io.BytesIO())

        def ready(self) -> None:
            """Keep this process's privileges: the fuzzer's own fork."""

    return Target(make, read, (BundleError, Contained))


OPENED = {"path": "fuzz.tflite", "runtime": "auto", "threads": 1}


def _in_fork(work: Callable[[], object]) -> None:
    """Run ``work`` in a fork with the child's limit of time; raise what it raised, and Contained for a crash."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(NATIVE_S)
        said = ""
        try:
            work()
        except FmdError as error:
            said = f"expected {error}"
        except MemoryError:
            said = "expected memory"
        except BaseException as error:  # noqa: BLE001 (reported by the parent)
            said = f"unexpected {type(error).__name__}: {error}"
        os.write(writing, said.encode(errors="replace")[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        raise Contained(signal.Signals(os.WTERMSIG(status)).name)
    if said.startswith("unexpected"):
        raise RuntimeError(said)
    if said:
        raise BundleError(said)


SETTINGS_TOKENS = (
    b"[camera]",
    b"[[x]]",
    b"[a.b.c]",
    b"a.b.c = 1",
    b"[" * 300,
    b"{a=" * 200,
    b"inf",
    b"nan",
    b"-1",
    b"1e400",
    b"0x10",
    b'"""',
    b"'\\x00'",
    b'"\\u0000"',
    b'"\\U0010ffff"',
    b"1979-05-27T07:32:00Z",
    b"99999999999999999999",
    b"true",
    b"[[1],[2]]",
    b'{ x = "y" }',
    b'"http://[::1"',
    b'"rtsp://a:b@[bad"',
    b"version = 99",
    b"version = -1",
    b'""',
    b'"stall@30,unplug@60+5"',
    b'"/dev/null"',
    b"[0.05, 60]",
    b"[[]]",
    b"\xff\xfe",
    b"\r\n",
    b"=",
)
"""What is odd in a settings file."""


def settings() -> Target:
    """Settings files."""
    from edge import config

    own = b"""\xef\xbb\xbfversion = 4
[camera]
source = "rtsp://user:secret@camera/stream"
sources = { front = "auto", back = "/dev/video2" }
[alert]
led_pin = 17
led_no_mask = [0.5, 0.5]
driver = "gpiod"
[notify]
urls = ["tgram://TOKEN/CHAT", "json://host"]
[decide]
accept = ["with_mask"]
"""
    seeds = [config.DEFAULT_PATH.read_bytes(), own]
    path = Path(tempfile.mkdtemp(prefix="fmd-fuzz-")) / "fmd.toml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        config.load(path)

    return Target(lambda rng: mutate.of_lines(rng, seeds, SETTINGS_TOKENS), read, (SettingsError,))


def changes() -> Target:
    """Overlays of changed settings, and texts to import: neither ever raises."""
    from edge import config, overlay
    from edge import settings as all_settings

    folder = Path(tempfile.mkdtemp(prefix="fmd-fuzz-"))
    base, file = folder / "fmd.toml", folder / overlay.NAME
    base.write_text("[watch]\nstill_s = 0.4\n")
    values = {"alert": {"led_pin": 22, "led_no_mask": [0.5, 0.5]}, "watch": {"gate": False, "ignore": [[[0.0, 0.0]]]}}
    seeds = [
        overlay.text_of(base, values),
        overlay.text_of(base, {"track": {"reach": 2.0}, "decide": {"accept": ["x"]}}),
    ]

    def read(data: bytes) -> None:
        file.write_bytes(data)
        file.chmod(0o600)
        layers = config.read(base, state=folder)
        assert layers.problem or layers.overlay is None or all(map(config.is_writable, layers.over))
        found = all_settings.imported(layers, data.decode(errors="replace"), all_settings.NEEDS_CONFIRMATION)
        if found.is_accepted:
            text = overlay.text_of(base, config.nested(found.over))
            file.write_bytes(text)
            again = config.read(base, state=folder)
            assert (again.problem, dict(again.over)) == ("", found.over), again.problem

    return Target(lambda rng: mutate.of_lines(rng, seeds, SETTINGS_TOKENS), read, ())


def backup() -> Target:
    """Backups: mutated bytes, and mutated entries and manifests whose hashes are right again."""
    from edge.backup import archive, restore
    from edge.backup.sources import Places
    from edge.errors import BackupError
    from edge.record import database
    from tests.edge.backup import parts

    folder = Path(tempfile.mkdtemp(prefix="fmd-fuzz-"))
    whole = parts.Door(folder / "from").fill().backup()
    board = parts.Door(folder / "to")
    with zipfile.ZipFile(io.BytesIO(whole)) as before:
        content = {name: before.read(name) for name in before.namelist() if name != archive.MANIFEST}
        manifest = json.loads(before.read(archive.MANIFEST))
        del manifest["entries"]  # those of the changed content
    small = {name: data for name, data in content.items() if name != archive.RECORD}
    outside = board.folder / "outside"
    outside.write_text("as it was")

    def forged(rng: random.Random) -> bytes:
        entries = dict(small if rng.random() < 0.7 else content)
        name = rng.choice(sorted(entries))
        tokens = (*SETTINGS_TOKENS, b"../../outside", b"file = '../outside'", b'"current": "../x"')
        entries[name] = mutate.of_bytes(rng, [entries[name]], tokens, 1 << 16)
        if rng.random() < 0.3:
            entries[rng.choice(("settings/files/../../outside", "/tmp/x", "settings/files/fmd.toml", "x"))] = b"y"
        about = mutate.of_json(rng, dict(manifest), ("../x",)) if rng.random() < 0.4 else manifest
        try:
            return parts.changed(whole, lambda found: (found.clear(), found.update(entries)), **about)
        except (TypeError, ValueError):  # a manifest that is no table, or text that is none
            return mutate.of_bytes(rng, [whole])

    def read(data: bytes) -> None:
        opened = archive.Archive(io.BytesIO(data), Path("fuzz.fmd"))
        if opened.has(archive.RECORD):
            record = folder / "record.db"
            with record.open("wb") as file:
                opened.copy(archive.RECORD, file)
            with database.checking(record) as connection:
                connection.execute("SELECT count(*) FROM passages").fetchone()
        places = Places(board.base, board.state)
        with restore.checked(opened, places, ("settings", "models"), model_check=parts.model_check) as found:
            found.apply()
        assert outside.read_text() == "as it was"
        assert {path.name for path in board.folder.iterdir()} == {"etc", "state", "state-models", "outside"}

    expected = (BackupError, SettingsError, RecordError, BundleError)
    return Target(lambda rng: mutate.of_bytes(rng, [whole]) if rng.random() < 0.4 else forged(rng), read, expected)


def events() -> Target:
    """The record: databases and logs of earlier versions, as a failing card or another program leaves them."""
    import sqlite3

    from edge.commands import events as commands_events
    from edge.commands.main import make_parser
    from edge.record import database, old_log

    folder = Path(tempfile.mkdtemp(prefix="fmd-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    lines = b"".join(
        json.dumps({"n": n, "at": "2027-01-15T08:00:00.000+00:00", "event": "decision", "person": n}).encode() + b"\n"
        for n in range(1, 6)
    )
    tokens = (b'"n": -1', b'"n": 1e99', b'"at": 5', b"[" * 2000, b"null", b'{"n": 1, "at": "9999-99"}', b"\x00" * 100)
    with database.transaction(connection := database.open_for_writing(folder)[0]):
        for n in range(1, 6):
            connection.execute("INSERT INTO events VALUES(?,?,?,?,?,?)", (n, n * 1000, "decision", "", 1, '{"a": 1}'))
    connection.close()
    whole = (folder / database.NAME).read_bytes()
    texts = (*mutate.TEXTS, None, b"\xff", -1, 2**62, 1e300)

    def make(rng: random.Random) -> bytes:
        kind = rng.randrange(3)
        if kind == 0:
            return b"L" + mutate.of_lines(rng, [lines], tokens)
        if kind == 1:
            return b"D" + mutate.of_bytes(rng, [whole], (b"SQLite format 3\x00", b"CREATE TABLE"))
        # A valid database whose values are another program's.
        values = [rng.choice(texts) if rng.random() < 0.4 else value for value in (1000, "decision", "", 1, '{"a": 1}')]
        return b"V" + repr(values).encode()

    def read(data: bytes) -> None:
        for path in folder.iterdir():
            path.unlink()
        if data[:1] == b"L":
            (folder / old_log.NAMES[1]).write_bytes(data[1:])
        else:
            (folder / database.NAME).write_bytes(whole if data[:1] == b"V" else data[1:])
        if data[:1] == b"V":
            with contextlib.closing(sqlite3.connect(folder / database.NAME)) as changed:
                changed.execute("INSERT INTO events VALUES(9,?,?,?,?,?)", ast.literal_eval(data[1:].decode()))
                changed.commit()
        arguments = make_parser().parse_args(["events", "--state", str(folder)])
        printed = io.StringIO()
        for begun in (False, True):
            if begun:
                database.open_for_writing(folder)[0].close()
            with contextlib.suppress(RecordError), contextlib.redirect_stdout(printed):
                commands_events.run(arguments)
        assert all(map(str.isprintable, printed.getvalue().split("\n"))), printed.getvalue()

    return Target(make, read, ())


def mqtt() -> Target:
    """Topics and payloads of a hostile broker."""
    import paho.mqtt.client as paho

    from edge import config
    from edge.drivers import mqtt as driver

    made: list[Any] = []

    class Recorded(paho.Client):  # type: ignore[misc, unused-ignore]
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            made.append(self)

    paho.Client = Recorded  # type: ignore[misc]
    loaded = config.load(None, {"mqtt.host": "localhost", "publish.name": "door", "publish.pictures": "blurred"})
    driver.MqttPublisher(loaded.mqtt, "door", [], ["front", "back"])
    client = made[-1]
    topics = [
        b"fmd/door/state",
        b"fmd/door/picture/gone",
        b"fmd/door/health/front",
        b"homeassistant/status",
        b"fmd/door/status",
        b"homeassistant/sensor/fmd_door/x/config",
        b"fmd/door/figures/old",
    ]
    tokens = (b"#", b"+", b"/", b"$SYS", b"\x00", b"x" * 65_500, b"//", b"fmd/door/", b"\xed\xa0\x80", b"health/")

    def make(rng: random.Random) -> bytes:
        flags = bytes((rng.randrange(2), rng.randrange(3)))
        topic = mutate.of_bytes(rng, topics, tokens, 65_535)
        return (
            flags + struct.pack(">H", len(topic)) + topic + rng.choice((b"online", b"", b"x" * 100, rng.randbytes(9)))
        )

    def read(data: bytes) -> None:
        (size,) = struct.unpack(">H", data[2:4])
        message = paho.MQTTMessage(topic=data[4 : 4 + size])
        message.payload, message.retain, message.qos = data[4 + size :], bool(data[0]), data[1]
        try:
            message.topic  # noqa: B018 (a topic that is no UTF-8 never reaches the callback: paho drops it)
        except UnicodeDecodeError:
            return
        client.on_message(client, None, message)

    return Target(make, read, ())


def http() -> Target:
    """Requests to the metrics server, over a real connection; after each the server still answers a scrape in time."""
    from edge import config
    from edge.drivers import metrics
    from tests.edge.drivers.test_metrics import snapshot

    own = config.load(None, {"metrics.address": "127.0.0.1"}).metrics
    server = metrics.MetricsServer(own, snapshot)
    seeds = [
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\nAccept-Encoding: gzip\r\n\r\n",
        b"POST /metrics?name[]=fmd_frames HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
        b"OPTIONS * HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ]
    tokens = (
        b"\r\n",
        b"HTTP/1.1",
        b"HTTP/9.9",
        b"x" * 70_000,
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999\r\n",
        b"%00",
        b"name[]=" + b"x" * 1000,
        b"X: y\r\n" * 200,
        b"\x16\x03\x01",
        b"Expect: 100-continue\r\n",
        b"\x00",
        b"../../",
    )
    count = 0

    def exchanged(data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.settimeout(10)
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := connection.recv(1 << 16):
                    answer += piece
                    assert len(answer) < 1 << 20
            except OSError:  # the server may hang up at any moment
                return b""
            return answer

    def read(data: bytes) -> None:
        nonlocal count
        exchanged(data)
        count += 1
        if count % 10 == 0:
            began_s = time.monotonic()
            assert b" 200 " in exchanged(seeds[0]).partition(b"\r\n")[0]
            assert time.monotonic() - began_s < 10

    return Target(lambda rng: mutate.of_bytes(rng, seeds, tokens), read, ())


def pictures() -> Target:
    """Picture files: JPEG and the other formats that a folder or a camera may give."""
    import cv2

    from edge.drivers import folder

    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    seeds = [
        cv2.imencode(f".{kind}", noise)[1].tobytes() for kind in ("jpg", "jpg", "jpg", "png", "webp", "bmp", "tiff")
    ]
    tokens = (
        b"\xff\xd8",
        b"\xff\xd9",
        b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03",
        b"\xff\xc2",
        b"\xff\xdd\x00\x04\x00\x01",
        b"\xff\xfe",
        b"IHDR\x00\x00\xff\xff\x00\x00\xff\xff",
        b"acTL",
        b"II*\x00",
        b"GIF89a",
        b"\xff" * 64,
    )
    path = Path(tempfile.mkdtemp(prefix="fmd-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "a.jpg"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        folder.read_picture(path, report_animation=True)

    return Target(lambda rng: mutate.of_bytes(rng, seeds, tokens), read, (CameraError,))


def package() -> Target:
    """Debian packages."""
    from edge.flash import package as reader

    fields = b"Package: fmd\nVersion: 0.1.0\nArchitecture: arm64\nDescription: x\n continued\n"

    def tar(mode: str, name: str = "./control", content: bytes = fields, kind: bytes = tarfile.REGTYPE) -> bytes:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode=f"w:{mode}") as archive:
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, "elsewhere"
            archive.addfile(member, io.BytesIO(content))
        return made.getvalue()

    def deb(control: bytes, suffix: str, size: str = "") -> bytes:
        made = b"!<arch>\n"
        for name, data in (("debian-binary", b"2.0\n"), (f"control.tar{suffix}", control), ("data.tar.xz", b"x" * 50)):
            stated = size if size and name.startswith("control") else str(len(data))
            made += (
                f"{name:<16}{'0':<12}{'0':<6}{'0':<6}{'100644':<8}{stated:<10}`\n".encode()
                + data
                + b"\n" * (len(data) % 2)
            )
        return made

    seeds = [deb(tar(mode), f".{mode}" if mode else "") for mode in ("", "gz", "xz", "bz2")]
    bombs = [
        deb(tar("xz", content=fields + b"x" * (40 << 20)), ".xz"),
        deb(tar("", kind=tarfile.SYMTYPE, content=b""), ""),
    ]
    tokens = (
        b"-60       ",
        b"9999999999",
        b"control.tar",
        b"!<arch>\n",
        b"`\n",
        b"1e9       ",
        b"0x10      ",
        b"\xff",
        b"control",
    )

    def make(rng: random.Random) -> bytes:
        if rng.random() < 0.01:
            return rng.choice(bombs)
        if rng.random() < 0.3:
            control = mutate.of_bytes(
                rng, [tar("")], (b"ustar", b"\x00" * 512, b"x" * 100, b"GNU.sparse.size=99999999")
            )
            return deb(control, "", rng.choice(("", "", "-60", "0", "-1", "9" * 10)))
        return mutate.of_bytes(rng, seeds, tokens)

    return Target(make, lambda data: _ignored(reader.check(Path("fmd.deb"), data, "fmd")), (CardError,))


def card() -> Target:
    """Cards: user-data, firstrun.sh, cmdline.txt and the other files that fmd flash finds and extends."""
    from edge.flash import card as cards
    from edge.flash import content, target

    found = {
        "cmdline.txt": b"console=tty1 root=PARTUUID=1 rootwait quiet\n",
        "config.txt": b"arm_64bit=1\n",
        "issue.txt": b"Raspberry Pi reference 2025-10-01\nGenerated\n",
        "kernel8.img": b"",
    }
    trixie = {
        **found,
        "meta-data": b"",
        "network-config": b"network:\n  wifis: {}\n",
        "user-data": b"#cloud-config\nhostname: a\n",
    }
    bookworm = {**found, "firstrun.sh": b"#!/bin/bash\nset +e\nrm -f /boot/firstrun.sh\nexit 0\n"}
    tokens = (
        b"#cloud-config",
        b"#!/bin/sh",
        b"Content-Type: multipart/mixed; boundary=x",
        b"--==fmd==",
        b"rm -f /boot/",
        b"\xff\xfe",
        b"\x00",
        b"# Written by fmd flash.",
        b"systemd.run=x",
        b"\r\n",
        b"&a [*a,*a]",
        b"!!python/object:os.system",
        b"#include http://x",
        b"## template: jinja",
        b"\xef\xbb\xbf",
        b"2025-99-99",
        b"mime-version: 1.0",
    )
    wifi = content.Wifi("net", "0" * 64, "DE", True)
    wanted = content.Wanted(
        {"fmd.deb": b"x"}, content.Etc({"fmd.toml": b""}), "door", "UTC", wifi, content.Login("pi", "x")
    )

    class Files:
        """A boot partition in memory; its content, not its names, is hostile."""

        def __init__(self, files: dict[str, bytes]) -> None:
            self.files = files

        def names(self) -> frozenset[str]:
            return frozenset(self.files)

        def read(self, path: str) -> bytes | None:
            return self.files.get(path)

        def write(self, path: str, data: bytes) -> None:
            self.files[path] = data

        def free(self) -> int:
            return 1 << 30

    def make(rng: random.Random) -> bytes:
        files = dict(rng.choice((trixie, bookworm)))
        for name in rng.sample(sorted(files), rng.choice((1, 1, 2))):
            files[name] = mutate.of_lines(rng, [files[name] or b"\n"], tokens)
        return json.dumps({name: data.hex() for name, data in files.items()}).encode()

    image = Path(tempfile.mkdtemp(prefix="fmd-fuzz-")) / "a.img"

    def read(data: bytes) -> None:
        files = {name: bytes.fromhex(text) for name, text in json.loads(data).items()}
        image.write_bytes((next(iter(files.values())) * 600)[:510] + b"\x55\xaa")
        with contextlib.suppress(CardError):
            target.fat_offset(image)
        place = Files(files)
        for change in content.changes(place, cards.recognise(place), wanted):
            place.write(change.path, change.data)
        # The same card once more.
        content.changes(place, cards.recognise(place), wanted)

    return Target(make, read, (CardError,))


def partition() -> Target:
    """FAT16 partitions in an image file: boot sector, table, root folder and the first clusters are hostile."""
    from edge.flash.fat import Fat

    sectors, table, root = 4150, 17, 4
    boot = bytearray(512)
    struct.pack_into("<HBHBHHBH", boot, 11, 512, 1, 1, 2, root * 16, sectors, 0xF8, table)
    boot[510:] = b"\x55\xaa"
    whole = io.BytesIO(bytes(boot) + bytes((sectors - 1) * 512))
    for path, data in (("cmdline.txt", b"root"), ("fmd/etc/a long name.toml", b"x" * 1500), ("user-data", b"")):
        Fat(whole).write(path, data)
    front = (1 + 2 * table + root + 12) * 512
    seed, rest = whole.getvalue()[:front], bytes(sectors * 512 - front)
    places = ((11, 40), (512, 64), ((1 + 2 * table) * 512, 10 * 32), ((1 + 2 * table + root) * 512, 12 * 512))
    tokens = (b"\xff\xff", b"\x02\x00", b"\xf7\xff", b"\xe5", b"\x0f", b"\x10", b"CMDLINETXT ", b"\x00" * 32, b"\x41")

    def read(data: bytes) -> None:
        handle = io.BytesIO(data[:front].ljust(front, b"\x00") + rest)
        fat = Fat(handle)
        _ignored((fat.label(), fat.names(), fat.free()))
        for path in ("cmdline.txt", "fmd/etc/a long name.toml", "none/at/all"):
            fat.read(path)
        for path in ("cmdline.txt", "fmd/etc/another long name", "new/folder/file"):
            fat.write(path, b"y" * 700)
            assert Fat(handle).read(path) is not None

    def make(rng: random.Random) -> bytes:
        data = bytearray(seed)
        for start, size in rng.sample(places, rng.choice((1, 1, 2))):
            new = mutate.of_bytes(rng, [bytes(data[start : start + size])], tokens)[:size]
            data[start : start + len(new)] = new
        return bytes(data)

    return Target(make, read, (CardError,))


def sums() -> Target:
    """Lists of SHA-256 sums, as a release has them."""
    from edge.flash import download

    seeds = [b"0" * 64 + b"  fmd_1_arm64.deb\n" + b"a" * 64 + b" *./fmd_1_amd64.deb\r\n"]
    tokens = (b"fmd_2_arm64.deb", b"/", b"..", b"\x00", b"\xff", b"\n", b" *", b"f" * 64)

    def read(data: bytes) -> None:
        listed = download.listed("SHA256SUMS", data)
        assert not any("/" in name or "\n" in name for name in listed)
        download.only_package("", listed)

    return Target(lambda rng: mutate.of_bytes(rng, seeds, tokens), read, (CardError,))


def _ignored(result: object) -> None:
    """Take a result that no one needs."""


TARGETS: dict[str, Callable[[], Target]] = {
    "bundle": bundle,
    "contract": contract,
    "golden": golden,
    "flatbuffer": flatbuffer,
    "settings": settings,
    "changes": changes,
    "backup": backup,
    "events": events,
    "mqtt": mqtt,
    "http": http,
    "pictures": pictures,
    "package": package,
    "card": card,
    "partition": partition,
    "sums": sums,
}
"""Name -> target, in the order of the table."""
SHARES: dict[str, float] = {"flatbuffer": 0.5, "http": 0.5, "events": 0.3, "backup": 0.5, "partition": 0.5, "sums": 0.3}
"""Share of cases of targets that are slow, relative to the others."""


@functools.cache
def opened(name: str) -> Target:
    """Return a target, prepared once in this process."""
    return TARGETS[name]()


def input_of(name: str, seed: int, case: int) -> bytes:
    """Return the input of a case: the same for the same numbers."""
    return opened(name).make(random.Random(f"{seed}/{name}/{case}"))


def shares(cases: int, names: Sequence[str]) -> dict[str, int]:
    """Return how many of ``cases`` each target gets."""
    total = sum(SHARES.get(name, 1.0) for name in names)
    return {name: round(cases * SHARES.get(name, 1.0) / total) for name in names}
