"""Every example on the page on sources runs: its configuration, its messages, what it shows."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from pipeline import sample_text
from pipeline.config import parse
from pipeline.sample import sampled

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
ENV = {"KAFKA_PASSWORD": "k", "GITHUB_SECRET": "g", "GITLAB_TOKEN": "l"}
# Messages and what is shown of them follow the configuration that they belong to.
BLOCK = re.compile(r"```yaml\n(.*?)```(?:\n\n```json\n(.*?)```\n\n```text\n(.*?)```)?", re.DOTALL)
EXAMPLES = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
SHOWN = [example for example in EXAMPLES if example[1]]


def shown(config: str, messages: str) -> str:
    """What ``check --sample`` writes of the messages."""
    settings = parse(config.encode(), ENV)
    return "".join(
        f"{line}\n"
        for line in sample_text.lines(
            sampled(Path("-"), settings, stdin=io.BytesIO(messages.encode()))
        )
    )


def test_there_are_examples_of_every_kind() -> None:
    assert len(SHOWN) >= 5
    assert len(EXAMPLES) >= len(SHOWN) + 4


@pytest.mark.parametrize("config", [config for config, _, _ in EXAMPLES])
def test_every_configuration_is_accepted(config: str) -> None:
    assert parse(config.encode(), ENV).policy.metrics


@pytest.mark.parametrize(("config", "messages", "text"), SHOWN)
def test_the_messages_become_what_the_page_shows(config: str, messages: str, text: str) -> None:
    assert shown(config, messages) == text


def test_only_the_message_with_the_unknown_status_is_refused() -> None:
    refused = [line for _, _, text in SHOWN for line in text.splitlines() if ": refused " in line]
    assert len(refused) == 1
    assert "field status: 55 is not in the table" in refused[0]
