"""An asv plugin: environments that share the packages of the one asv runs in, MemTorch's compiled code among them.

In asv.conf.json: `"environment_type": "overlay"` and `"plugins": [".membench.overlay"]`. Such an environment is an empty virtual
environment with a path to a checkout of the commit and one to those packages. So a commit is ready as soon as it is checked out, and
every commit is measured with the packages of today: what is tracked is the project, not what it stands on.
"""

from __future__ import annotations

import platform
import sysconfig
import venv
from pathlib import Path
from typing import Any

from asv.environment import Environment, EnvironmentUnavailable


class Overlay(Environment):  # type: ignore[misc]
    """See asv.environment.Environment, whose methods these are."""

    tool_name = "overlay"

    def __init__(self, conf: Any, python: str, requirements: Any, tagged_env_vars: Any) -> None:
        if not self.matches(python):
            raise EnvironmentUnavailable(
                f"An overlay has the Python that asv runs in, {platform.python_version()}, not {python}. Leave `pythons` out."
            )
        if requirements:
            raise EnvironmentUnavailable(
                f"An overlay has the packages that are there; it installs none ({', '.join(requirements)}). Leave `req` out of `matrix`."
            )
        self._python, self._requirements = python, requirements  # the base class reads them while it is made
        super().__init__(conf, python, requirements, tagged_env_vars)

    @classmethod
    def matches(cls, python: str) -> bool:
        return platform.python_version_tuple()[:2] == tuple(python.split(".")[:2])

    @property
    def _paths(self) -> str:
        """Lines of the environment's .pth file: the commit's checkout comes first."""
        project = Path(self._build_root) / self._repo_subdir
        return f"{project}\n{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n"

    @property
    def _path_file(self) -> Path:
        version = ".".join(platform.python_version_tuple()[:2])
        return Path(self._path) / "lib" / f"python{version}" / "site-packages" / "overlay.pth"

    def check_presence(self) -> bool:
        return self._path_file.is_file() and self._path_file.read_text() == self._paths

    def _setup(self) -> None:
        venv.EnvBuilder(symlinks=True, with_pip=False).create(self._path)
        self._path_file.write_text(self._paths)

    def _build_project(self, repo: Any, commit_hash: str, build_dir: str) -> None:
        """Nothing: Python code runs as it is checked out."""

    def _install_project(self, repo: Any, commit_hash: str, build_dir: str) -> None:
        """Nothing: the checkout is on the path."""

    def _uninstall_project(self) -> None:
        self._set_installed_commit_hash(None)

    def run(self, args: list[str], **kwargs: Any) -> Any:
        return self.run_executable("python", args, **kwargs)
