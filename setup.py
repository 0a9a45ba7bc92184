"""All configuration is in setup.cfg, except for the description that PyPI shows."""

import configparser
import re
from pathlib import Path

from setuptools import setup


def readme() -> str:
    """Return README.md with links to the repository: PyPI has no files beside it."""
    setting = configparser.ConfigParser()
    setting.read("setup.cfg", encoding="utf-8")
    address = setting["metadata"]["url"]
    text = re.sub(r"(!\[[^\]]*\]\()(?!https?:)", rf"\g<1>{address}/raw/HEAD/", Path("README.md").read_text("utf-8"))
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!https?:|#)", rf"\g<1>{address}/blob/HEAD/", text)


setup(long_description=readme())
