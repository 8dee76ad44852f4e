"""Install emtomo; what it is and needs stands in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    # the templates live at the top level of the repository and are installed as package data
    packages=[*find_packages(include=["emtomo", "emtomo.*"]), "emtomo.templates"],
    package_dir={"emtomo": "emtomo", "emtomo.templates": "templates"},
)
