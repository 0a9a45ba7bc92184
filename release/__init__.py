"""Makes a release of fmd from a clean, tagged checkout: everything that users download, in one folder.

    build.py       the steps in order, with their progress
    refusals.py    what must be true before: clean tree, tag, address, notes, key, programs
    address.py     the address of the repository, which setup.cfg states and pages repeat
    notes.py       release notes, from CHANGELOG.md
    python.py      wheel and source distribution, and the wheel in an empty environment
    packages.py    Debian packages and the signed apt repository
    sbom.py        what a Debian package contains, as CycloneDX
    images.py      templates for card images, which nobody has built yet
    site.py        the documentation site
    docstrings.py  docstrings as the site shows them
    boards.py      which boards the tests on hardware can use
    signing.py     signatures with GnuPG
    shell.py       other programs, run with an error that states what failed
    errors.py      the error of all of these

``make release`` runs it.
"""
