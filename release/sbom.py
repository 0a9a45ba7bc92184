"""What a Debian package of fmd contains, as CycloneDX: each library with version, licence, hash and dependencies.

Libraries inside a wheel (FFmpeg in OpenCV's) are not listed, because wheels do not state them.
"""

from __future__ import annotations

import hashlib
import runpy
import tempfile
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.errors import ReleaseError
from release.shell import run

SCHEMA = SchemaVersion.V1_6
WHEELS = "opt/fmd/wheels"
OURS = "fmd-edge"
NAMESPACE = uuid.UUID("2f0f5e0e-6d0b-4d0c-9a2e-6d6f0a1f7c11")
"""Makes serial numbers of SBOMs: one package always gives the same."""


def of_package(deb: Path, version: str, date: datetime) -> str:
    """Return the SBOM of a .deb as checked JSON; raises ReleaseError if it does not follow CycloneDX's schema."""
    with tempfile.TemporaryDirectory(prefix="fmd-sbom-") as name:
        run(["dpkg-deb", "--extract", deb, name], deb.parent)
        wheels = sorted((Path(name) / WHEELS).glob("*.whl"))
        architecture = run(["dpkg-deb", "--field", deb, "Architecture"], deb.parent).strip()
        package = Component(
            name="fmd",
            version=version,
            type=ComponentType.APPLICATION,
            bom_ref=f"fmd=={version}",
            purl=PackageURL("deb", "fmd", "fmd", version, {"arch": architecture}),
            hashes=[_hash(deb)],
            licenses=[LicenseFactory().make_from_string("Apache-2.0")],
        )
        return _checked(bom(package, wheels, date, uuid.uuid5(NAMESPACE, _hash(deb).content)))


def bom(package: Component, wheels: Iterable[Path], date: datetime, number: uuid.UUID) -> Bom:
    """Return the SBOM of a package with these wheels."""
    made = Bom(metadata=BomMetaData(component=package, timestamp=date.astimezone(timezone.utc)), serial_number=number)
    metadata = _metadata(wheels)
    components = {key: _component(key, files) for key, files in metadata.items()}
    made.components.update(components.values())
    by_name: dict[str, list[Component]] = {}
    for (name, _), component in components.items():
        by_name.setdefault(name, []).append(component)
    made.register_dependency(package, by_name.get(OURS, components.values()))
    for key, component in components.items():
        needed = {name for path in metadata[key] for name in _requirements(path)}
        made.register_dependency(component, [one for name in needed for one in by_name.get(name, [])])
    return made


def _metadata(wheels: Iterable[Path]) -> dict[tuple[str, str], list[Path]]:
    """Return (name, version) -> its wheels: one for each Python, or a single one."""
    found: dict[tuple[str, str], list[Path]] = {}
    for path in wheels:
        metadata = _wheelhouse()["metadata_of"](path)
        found.setdefault((canonicalize_name(metadata["Name"]), metadata["Version"]), []).append(path)
    return found


def _component(key: tuple[str, str], files: Sequence[Path]) -> Component:
    name, version = key
    licence = _wheelhouse()["licence_of"](files[0])
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        purl=PackageURL("pypi", None, name, version),
        bom_ref=f"{name}=={version}",
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION, url=XsUri(f"{WHEELS}/{path.name}"), hashes=[_hash(path)]
            )
            for path in files
        ],
    )


def _requirements(wheel: Path) -> set[str]:
    """Return the distributions that a wheel needs on some Python, with the extras that the package installs."""
    lines = _wheelhouse()["metadata_of"](wheel).get_all("Requires-Dist", [])
    return {canonicalize_name(Requirement(line).name) for line in lines if "extra ==" not in line or _is_ours(wheel)}


def _is_ours(wheel: Path) -> bool:
    """Return whether this is fmd's own wheel: the package installs its extra ``appliance``."""
    return wheel.name.startswith("fmd_edge-")


def _hash(path: Path) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(path.read_bytes()).hexdigest())


def _wheelhouse() -> dict[str, Any]:
    """Return the functions of debian/wheelhouse.py, which knows how wheels state licences; it is no package."""
    if not _loaded:
        _loaded.update(runpy.run_path(str(Path(__file__).resolve().parents[1] / "debian/wheelhouse.py")))
    return _loaded


_loaded: dict[str, Any] = {}


def _checked(made: Bom) -> str:
    # Here, because it loads for seconds.
    from cyclonedx.validation.json import JsonStrictValidator

    text = make_outputter(made, OutputFormat.JSON, SCHEMA).output_as_string(indent=2)
    if (error := JsonStrictValidator(SCHEMA).validate_str(text)) is not None:
        raise ReleaseError(f"the SBOM does not follow CycloneDX {SCHEMA.to_version()}: {error}")
    return text + "\n"
