"""Documents that a machine can hold to the truth: links, the index of decisions, the map."""

from __future__ import annotations

import re

import yaml

from tests.tidy.sources import ROOMS, ROOT, rooms, texts, tree

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def text(name: str) -> str:
    """The content of a file of the tree."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_relative_link_in_a_document_leads_somewhere() -> None:
    broken = [
        f"{path}: {target}"
        for path, content in texts()
        if path.suffix == ".md"
        for target in LINK.findall(content)
        if "://" not in target and not (ROOT / path.parent / target).exists()
    ]
    assert not broken, f"links to nowhere: {broken}"


def test_the_changelog_begins_with_what_is_not_yet_released() -> None:
    headings = re.findall(r"^## (.+)$", text("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "Unreleased"


def test_every_decision_is_in_the_index_and_has_the_next_number() -> None:
    files = sorted(
        path.name for path in tree() if path.match("docs/decisions/*.md") and path.stem != "README"
    )
    linked = re.findall(r"^\| \[\d{4}\]\((.+?)\)", text("docs/decisions/README.md"), re.MULTILINE)
    assert linked == files
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1))


def test_the_architecture_page_names_every_module() -> None:
    named = set(re.findall(r"\w+\.py|\w+/", text("docs/ARCHITECTURE.md"))) - {
        f"{room}/" for room in ROOMS
    }
    missing = [
        str(source.path)
        for source in rooms()
        if source.path.name != "__init__.py"
        and not {source.path.name, f"{source.path.parent.name}/"} & named
    ]
    assert not missing, f"docs/ARCHITECTURE.md does not say where these belong: {missing}"


def test_the_compose_file_mounts_only_files_that_exist() -> None:
    services = yaml.safe_load(text("docker-compose.yml"))["services"]
    mounted = [
        volume.split(":")[0]
        for service in services.values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]
    built = [
        f"{service['build']['context']}/{service['build']['dockerfile']}"
        for service in services.values()
        if "build" in service
    ]
    missing = [name for name in mounted + built if not (ROOT / name).is_file()]
    assert mounted
    assert built
    assert not missing, f"docker-compose.yml names files that do not exist: {missing}"


def test_every_settings_file_for_deployment_is_valid_yaml() -> None:
    files = [path for path in tree() if path.match("deploy/*.yml")]
    assert files
    for path in files:
        assert isinstance(yaml.safe_load(text(str(path))), dict), path
