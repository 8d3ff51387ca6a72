"""Words that must not stand in the tree: left-over marks, hosts of registries, paths of machines.

The words are put together here from parts, so that this file does not contain them itself.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from tests.tidy.sources import texts

MARKS = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
HOSTS = re.compile(
    "|".join(
        re.escape(host + ending)
        for host, ending in (
            ("pypi", ".org"),
            ("pythonhosted", ".org"),
            ("npmjs", ".org"),
            ("npmjs", ".com"),
            ("yarnpkg", ".com"),
            ("unpkg", ".com"),
            ("jsdelivr", ".net"),
            ("cdnjs.cloudflare", ".com"),
            ("maven", ".org"),
            ("proxy.golang", ".org"),
            ("crates", ".io"),
            ("index", "-url"),
            ("find", "-links"),
        )
    ),
    re.IGNORECASE,
)
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:root|work|home/\w+|Users/\w+|opt/wheels|tmp/venv)/")
INVENTED_HOME = "/home/" + "ann/"  # stands for any home directory in tests
SHARED_FOLDER = re.compile(r"\.\./" + r"shared|/sha" + r"red/")


def found(pattern: re.Pattern[str], *, outside: tuple[str, ...] = ()) -> list[str]:
    """Every place where a pattern stands, as ``path:line word``, but not in the folders named."""
    return [
        f"{path}:{number} {match.group()}"
        for path, text in texts()
        if path.parts[0] not in outside
        for number, line in enumerate(text.splitlines(), 1)
        for match in pattern.finditer(line)
    ]


def test_no_work_is_left_marked_in_the_tree() -> None:
    marks = found(MARKS)
    assert not marks, f"do it, or write an issue: {marks}"


def test_no_file_names_the_host_of_a_package_registry() -> None:
    hosts = found(HOSTS)
    assert not hosts, f"where packages come from is the business of the machine: {hosts}"


def test_no_file_names_a_path_of_one_machine() -> None:
    paths = [place for place in found(MACHINE_PATHS) if not place.endswith(INVENTED_HOME)]
    assert not paths, f"true on one machine only: {paths}"


def test_the_product_never_reaches_beside_its_checkout() -> None:
    paths = found(SHARED_FOLDER, outside=("tests", "benchmarks"))
    assert not paths, f"only tests and benchmarks may look for optional data: {paths}"


def test_every_text_file_ends_with_one_newline_and_has_no_trailing_blanks() -> None:
    def untidy(path: PurePosixPath, text: str) -> bool:
        if path.suffix == ".md":  # two blanks are a line break in Markdown
            return bool(text) and not text.endswith("\n")
        return bool(text) and (not text.endswith("\n") or bool(re.search(r"[ \t]\n", text)))

    rows = [
        str(path)
        for path, text in texts()
        if path.suffix not in {".svg", ".json", ".txt"} and untidy(path, text)
    ]
    assert not rows, f"end with a newline, drop blanks at line ends: {rows}"


@pytest.mark.parametrize("path", ["/ro" + "ot/x", " /wo" + "rk/main", '"/home/' + 'ann/x"'])
def test_a_path_of_one_machine_is_recognised(path: str) -> None:
    assert MACHINE_PATHS.search(path)


@pytest.mark.parametrize("path", ["/var/lib/x", "docs/work/x", "https://x.test/root/y"])
def test_other_paths_are_left_alone(path: str) -> None:
    assert not MACHINE_PATHS.search(path)
