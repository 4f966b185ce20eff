"""The public names, and the promise that importing them costs next to nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import wellfit

HEAVY = (
    "numba", "scipy", "pandas", "sklearn", "matplotlib", "torch", "keras", "optuna", "ray", "jinja2", "rich", "PIL",
    "pooch",
)  # fmt: skip


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_brings_none_of_the_heavy_packages() -> None:
    code = f"import sys, wellfit; dir(wellfit); print([n for n in {HEAVY!r} if n in sys.modules])"
    assert python(code) == "[]"


@pytest.mark.parametrize("name", ["L2", "Cocktail", "MLP", "Training", "Fitted", "DataError"])
def test_a_value_brings_none_of_them_either(name: str) -> None:
    code = f"import sys, wellfit; wellfit.{name}; print([n for n in {HEAVY!r} if n in sys.modules])"
    assert python(code) == "[]"


def test_the_command_line_starts_without_them_too() -> None:
    code = f"import sys, wellfit.cli; print([n for n in (*{HEAVY!r}, 'numpy') if n in sys.modules])"
    assert python(code) == "[]"


def test_every_public_name_is_there_and_listed() -> None:
    for name in wellfit.__all__:
        assert getattr(wellfit, name) is not None
        assert name in dir(wellfit)
    assert set(wellfit._HOMES) | {"__version__"} == set(wellfit.__all__)


def test_names_for_type_checkers_are_the_names_at_run_time() -> None:
    """`_HOMES` and the imports under TYPE_CHECKING say the same thing twice."""
    import ast

    tree = ast.parse(Path(wellfit.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    stated = {alias.name: node.module for node in block.body for alias in node.names}  # type: ignore[attr-defined]
    assert stated == {name: f"wellfit.{home}" for name, home in wellfit._HOMES.items()}


def test_functions_keep_their_names_beside_the_rooms() -> None:
    """A room of the same name would hide a function once anything imports it."""
    code = "import wellfit.job, wellfit.select; import wellfit as wf; print(callable(wf.run), callable(wf.compare))"
    assert python(code) == "True True"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        wellfit.nonsense  # noqa: B018


def test_the_version_is_stated_once() -> None:
    import tomllib

    project = tomllib.loads((Path(wellfit.__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "wellfit.__version__"}


def test_cocktails_read_as_in_the_readme() -> None:
    import wellfit as wf

    assert str(wf.L2((2e-3, 2e-3, 0)) + wf.Dropout((0.0, 0.3))) == "l2=(0.002, 0.002, 0) + dropout=(0, 0.3)"
