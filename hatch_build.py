"""The wheel, and an editable install, carry the JupyterLab extension with the tutorials."""

import runpy
from pathlib import Path
from tempfile import TemporaryDirectory

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LabExtension(BuildHookInterface):
    def initialize(self, version: str, build_data: dict) -> None:
        self.folder = TemporaryDirectory()
        extension = Path(self.folder.name) / "sparseot"
        runpy.run_path(str(Path(self.root) / "widgets" / "lab" / "pack.py"))["pack"](extension)
        build_data["shared_data"][str(extension)] = "share/jupyter/labextensions/sparseot"

    def finalize(self, version: str, build_data: dict, artifact_path: str) -> None:
        self.folder.cleanup()
