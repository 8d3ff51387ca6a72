"""What is installed: bounds, locks and the content of the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.sources import ROOMS, ROOT, tree

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.lock", "requirements-dev.lock")
STUBS = {"pandas-stubs"}  # versioned by the date of what they describe


def pinned(lock: str) -> list[tuple[Requirement, int]]:
    """Every requirement of a lock file with the number of its hashes."""
    lines = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    rows = [line.split(" #")[0] for line in lines if line and not line.lstrip().startswith("#")]
    return [(Requirement(row.split("--hash")[0].strip()), row.count("--hash=sha256:"))
            for row in rows]  # fmt: skip


def declared() -> list[Requirement]:
    """Every dependency of pyproject.toml, extras and build tools included."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    groups = PROJECT["dependency-groups"].values()
    names = [*PROJECT["project"]["dependencies"], *(n for rows in (*extras, *groups) for n in rows)]
    return [Requirement(name) for name in names]


def test_every_dependency_has_a_lower_and_an_upper_bound() -> None:
    loose = [
        requirement.name
        for requirement in declared()
        if requirement.name not in STUBS
        and {operator.operator for operator in requirement.specifier} != {">=", "<"}
    ]
    assert not loose, f"say from which version and below which: {loose}"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_one_version_with_hashes_for_each_python(lock: str) -> None:
    rows = pinned(lock)
    assert rows
    for requirement, hashes in rows:
        assert [bound.operator for bound in requirement.specifier] == ["=="], requirement
        assert hashes, f"{requirement} has no hash"
    for python in ("3.11", "3.12", "3.13", "3.14"):
        here = {"python_version": python, "python_full_version": f"{python}.0"}
        names = [r.name for r, _ in rows if r.marker is None or r.marker.evaluate(here)]
        twice = {name for name in names if names.count(name) > 1}
        assert not twice, f"{lock} pins {twice} twice for Python {python}"


def test_the_locks_hold_what_the_project_declares_within_its_bounds() -> None:
    locked = pinned("requirements-dev.lock")
    for requirement in declared():
        versions = [
            next(iter(row.specifier)).version
            for row, _ in locked
            if canonicalize_name(row.name) == canonicalize_name(requirement.name)
        ]
        assert versions, f"{requirement.name} is in no lock; renew them (docs/decisions/0002)"
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_both_locks_agree() -> None:
    run, dev = ({(row.name, str(row.specifier)) for row, _ in pinned(lock)} for lock in LOCKS)
    assert run <= dev


def test_every_runtime_dependency_is_explained() -> None:
    page = (ROOT / "docs/decisions/0001-dependencies.md").read_text(encoding="utf-8")
    explained = {name for row in re.findall(r"^\| ([\w+ -]+) \|", page, re.MULTILINE)
                 for name in row.split(" + ")}  # fmt: skip
    missing = {Requirement(n).name for n in PROJECT["project"]["dependencies"]} - explained
    assert not missing, f"say in docs/decisions/0001 why: {missing}"


def test_the_wheel_carries_every_file_of_the_rooms(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("plimsoll-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    wanted = {str(path) for path in tree() if path.parts[0] in ROOMS}
    assert not wanted - packed, f"not in the wheel: {sorted(wanted - packed)}"
    strangers = {name for name in packed - wanted if ".dist-info/" not in name}
    assert not strangers, f"in the wheel, but not in the tree: {sorted(strangers)}"
