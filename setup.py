"""What pyproject.toml cannot say: the wheel carries the workflow, which in the repository lies beside the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("Snakefile", "workflow", "config", "profiles", "environment.yml", "CITATION.cff")


class WithWorkflow(build_py):
    def run(self):
        super().run()
        if self.editable_mode:  # the repository itself is there
            return
        target = Path(self.build_lib, "hepad", "shipped")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in SHIPPED:
            if Path(name).is_dir():
                shutil.copytree(name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(name, target / name)


setup(cmdclass={"build_py": WithWorkflow})
