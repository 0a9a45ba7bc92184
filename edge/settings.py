"""Every setting with its value, its origin and who may change it; changes to them; export and import.

:mod:`edge.config` reads the layers; this module is for what shows and changes them: ``fmd config`` and the web page.
It writes nothing: :func:`edge.overlay.write` takes the ``over`` of an :class:`Outcome`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin

import msgspec

from edge import addresses, config, migrate, overlay, toml
from edge.config import PIN_KEYS, Layers, Origin, Settings
from edge.drivers.selection import secret_settings
from edge.drivers.table import ADDRESSES, PUBLISHERS, SERVERS
from edge.errors import FmdError, SettingsError
from edge.redaction import redact

Kind = Literal["bool", "int", "float", "text", "choice", "list", "table", "pin", "regions"]
"""Form of a value. A pin is a number or text; regions are a list of polygons, or a table of them by camera."""
Access = Literal["editable", "needs_confirmation", "read_only", "secret"]
"""Who may change a setting: the overlay, the overlay after a confirmation, or the settings file alone. The value of a
secret one is never shown either."""

NEEDS_CONFIRMATION = frozenset(
    {*PIN_KEYS, "alert.driver", "alert.active_high", "alert.relay_active_high", "alert.relay", "alert.strike_s"}
    | {"arm.contact", "arm.pull", "model.runtime", "camera.simulate"}
    | {"publish.pictures", "record.examples", "page.show_faces", "mqtt.commands", "metrics.port"}
)
"""Settings of which a wrong value leaves the door without alarms or opens it, or shares more of people or of fmd."""
SET, NOT_SET = "set", "not set"
"""What is shown of a secret's value."""
_PLAIN: Mapping[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting. ``key`` is ``section.name``; ``comment`` is that of default.toml, in one line.

    ``value`` and ``default`` are plain values; addresses are without passwords. A secret has "set" or "not set".
    ``least`` and ``most`` limit a number. ``network`` says that it belongs to what needs the network.
    """

    key: str
    section: str
    name: str
    comment: str
    kind: Kind
    choices: tuple[str | int, ...] = ()
    least: float | None = None
    most: float | None = None
    access: Access
    network: bool
    default: Any
    value: Any
    origin: Origin


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a change: the new values of the overlay, or why it is refused.

    ``errors`` has a message per key; the empty key is for what no key can be named for. ``unconfirmed`` are the keys
    whose new value needs a confirmation. With either, ``over`` is the present overlay.
    """

    over: dict[str, Any]
    errors: dict[str, str] = {}
    unconfirmed: tuple[str, ...] = ()

    @property
    def is_accepted(self) -> bool:
        """Whether the change may be written."""
        return not self.errors and not self.unconfirmed


def listed(layers: Layers) -> list[Setting]:
    """Return every setting, in the order of default.toml."""
    values, defaults = msgspec.to_builtins(layers.settings), config.below(None)
    return [
        _setting(key, defaults[section][name], values[section][name], layers.origin(key))
        for section, names in defaults.items()
        for name in names
        for key in [f"{section}.{name}"]
    ]


def one(layers: Layers, key: str) -> Setting:
    """Return a setting by its key. Raises SettingsError if there is none."""
    config.check_key(key)
    return next(setting for setting in listed(layers) if setting.key == key)


def access(key: str) -> Access:
    """Return who may change a setting. Which settings are secrets is a matter of the drivers' table."""
    if key in secret_settings() and key not in ADDRESSES:
        return "secret"
    if not config.is_writable(key):
        return "read_only"
    return "needs_confirmation" if key in NEEDS_CONFIRMATION else "editable"


def changed(
    layers: Layers,
    changes: Mapping[str, Any],
    confirmed: Collection[str] = (),
    check: Callable[[Settings], None] = lambda settings: None,
) -> Outcome:
    """Return the overlay after ``changes`` (``section.key`` -> value; None resets to the layer below).

    The result is validated as ``fmd run --check`` does; ``check`` is for what needs models or files, and raises
    FmdError. Keys in ``confirmed`` need no further confirmation.
    """
    errors = {key: why for key, value in changes.items() if (why := _refusal(layers, key, value))}
    over = dict(layers.over)
    below = config.below(layers.base)
    for key, value in changes.items():
        if key not in errors:
            _change(over, below, key, value)
    errors |= _errors_together(layers, over, [key for key in changes if key not in errors], check)
    altered = {key for key in {*over, *layers.over} if over.get(key) != layers.over.get(key)}
    unconfirmed = tuple(sorted(key for key in altered & NEEDS_CONFIRMATION if key not in confirmed))
    if errors or unconfirmed:
        return Outcome(over=dict(layers.over), errors=errors, unconfirmed=unconfirmed)
    return Outcome(over=over)


def value_of(key: str, text: str) -> Any:
    """Return the value that ``text`` from a form or a command line is for ``key``: TOML, or text without quotes.

    The result may still be wrong for the setting; :func:`changed` says so.
    """
    value = toml.value(text)
    try:
        kind = kind_of(key)
    except KeyError:
        return value
    # 5 and 07:00 are texts as well, where the setting is one.
    as_is = kind == "text" and not isinstance(value, str)
    return text if as_is else value


def text_of(value: Any) -> str:
    """Return a setting's value in TOML, in one line: the inverse of :func:`value_of`."""
    return toml.in_one_line(value)


def exported(layers: Layers) -> str:
    """Return the settings that differ from the defaults as TOML: those that another board's overlay can take.

    Secrets, addresses and paths are not among them, nor what the command line of this run sets.
    """
    values, defaults = config.below(layers.base), config.below(None)
    for key, value in layers.over.items():
        section, _, name = key.partition(".")
        values[section][name] = value
    left_out, kept = [], {}
    for section, names in values.items():
        for name, value in names.items():
            key = f"{section}.{name}"
            if value != defaults[section][name]:
                if _fits_overlay(key, value):
                    kept[key] = value
                else:
                    left_out.append(key)
    head = "# Settings of fmd that differ from the defaults.\n"
    if left_out:
        head += f"# Not exported, because only the settings file can set them: {', '.join(left_out)}\n"
    return head + toml.written({"version": migrate.VERSION, **config.nested(kept)})


def imported(
    layers: Layers,
    text: str,
    confirmed: Collection[str] = (),
    check: Callable[[Settings], None] = lambda settings: None,
) -> Outcome:
    """Return the overlay that ``text`` (TOML) describes in place of the present one; the rest is as for ``changed``.

    What ``text`` does not name returns to the settings file. A setting that only the settings file can change is an
    error, unless it has the same value there.
    """
    keep = Outcome(over=dict(layers.over))
    if len(text.encode()) > overlay.LIMIT:
        return msgspec.structs.replace(keep, errors={"": f"more than {overlay.LIMIT} bytes, expected an exported file"})
    try:
        values = config.flat(migrate.migrated(toml.parsed(text.lstrip("\ufeff"), "imported"), "imported"), "imported")
    except SettingsError as error:
        return msgspec.structs.replace(keep, errors={"": str(error)})
    below = config.below(layers.base)
    wanted = {key: value for key, value in values.items() if not _is_fixed(below, key, value)}
    return changed(layers, {**dict.fromkeys(layers.over), **wanted}, confirmed, check)


def _is_fixed(below: Mapping[str, Mapping[str, Any]], key: str, value: Any) -> bool:
    """Return whether only the settings file can set ``key``, and sets it to ``value``."""
    section, _, name = key.partition(".")
    return name in below.get(section, {}) and not config.is_writable(key) and below[section][name] == value


def _refusal(layers: Layers, key: str, value: Any) -> str:
    """Return why a key cannot be changed, whatever the others are; empty if it can."""
    try:
        config.check_key(key)
        if value is not None:
            config.check_over(key, value, "")
            msgspec.json.encode(value)
    except UnicodeEncodeError:
        return "not valid text"
    except SettingsError as error:
        return error.what
    if layers.origin(key) == "command line":
        return "the command line of this fmd sets it (--set); a change would have no effect"
    return ""


def _fits_overlay(key: str, value: Any) -> bool:
    try:
        config.check_over(key, value, "")
    except SettingsError:
        return False
    return True


def _change(over: dict[str, Any], below: Mapping[str, Mapping[str, Any]], key: str, value: Any) -> None:
    """Put a value into the overlay, or take the key out of it if the layer below has the same value."""
    section, _, name = key.partition(".")
    under = below[section][name]
    over.pop(key, None)
    # True is 1 in Python, and no number in a settings file.
    if value is not None and (value != under or isinstance(value, bool) is not isinstance(under, bool)):
        over[key] = value


def _errors_together(
    layers: Layers, over: dict[str, Any], changes: Iterable[str], check: Callable[[Settings], None]
) -> dict[str, str]:
    """Return the errors of ``over``, each at the changed key that caused it. Takes those changes back in ``over``."""
    errors: dict[str, str] = {}
    left = set(changes)
    while True:
        try:
            check(config.laid(layers.base, over, layers.overrides, layers.overlay).settings)
        except SettingsError as error:
            cause = next((key for key in error.keys if key in left), None)
            if cause is None:
                return errors | {next(iter(error.keys), ""): str(error)}
            errors[cause] = error.what
            left.remove(cause)
            over.pop(cause, None)
            if cause in layers.over:
                over[cause] = layers.over[cause]
        except FmdError as error:
            return errors | {"": str(error)}
        else:
            return errors


def _setting(key: str, default: Any, value: Any, origin: Origin) -> Setting:
    section, _, name = key.partition(".")
    hint = config.hint_of(key)
    least, most = _limits(hint)
    return Setting(
        key=key,
        section=section,
        name=name,
        comment=comments()[key],
        kind=kind_of(key),
        choices=tuple(config.choices_of(hint)),
        least=least,
        most=most,
        access=access(key),
        network=key in ADDRESSES or any(driver.network for driver in _drivers_of(section)),
        default=shown(key, default),
        value=shown(key, value),
        origin=origin,
    )


def _drivers_of(section: str) -> list[Any]:
    return [table[section] for table in (PUBLISHERS, SERVERS) if section in table]


def shown(key: str, value: Any) -> Any:
    """Return a setting's value as anyone may see it."""
    if access(key) == "secret":
        return SET if value else NOT_SET
    return _without_passwords(value)


def _without_passwords(value: Any) -> Any:
    if isinstance(value, str):
        return redact(addresses.redacted(value))
    if isinstance(value, dict):
        return {key: _without_passwords(each) for key, each in value.items()}
    return [_without_passwords(each) for each in value] if isinstance(value, (list, tuple)) else value


def kind_of(key: str) -> Kind:
    """Return the form of a setting's value. Raises KeyError if there is no such setting."""
    hint = config.hint_of(key)
    if key in PIN_KEYS:
        return "pin"
    if hint == config.Regions:
        return "regions"
    while get_origin(hint) is not None and hasattr(hint, "__metadata__"):
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return "choice"
    return _PLAIN.get(hint) or ("table" if get_origin(hint) is dict else "list")


def _limits(hint: Any) -> tuple[float | None, float | None]:
    """Return the smallest and the largest value of a number; an excluded limit counts as well."""
    if hint == config.Pin or config.choices_of(hint):
        return None, None
    metas = [meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    least = next((each for meta in metas for each in (meta.ge, meta.gt) if each is not None), None)
    most = next((each for meta in metas for each in (meta.le, meta.lt) if each is not None), None)
    return least, most


@cache
def comments() -> Mapping[str, str]:
    """Return the comment of every setting in default.toml; several keys below one comment share it."""
    found: dict[str, str] = {}
    section, lines, is_open = "", list[str](), False
    for line in config.DEFAULT_PATH.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            lines = [*(lines if is_open else ()), line.removeprefix("#").strip()]
        elif header := re.fullmatch(r"\[(\w+)\]", line):
            section, lines = header[1], []
        elif key := re.match(r"(\w+) = ", line):
            found[f"{section}.{key[1]}"] = " ".join(lines)
        is_open = line.startswith("#")
    return found
