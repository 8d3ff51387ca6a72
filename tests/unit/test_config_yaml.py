"""Hostile and careless YAML: every text either loads or is refused with faults, never a crash."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import example, given, settings

from pipeline.config import KEYS, ConfigError, Fault, Settings, document, load, parse
from pipeline.config.catalogue import catalogue
from pipeline.config.faults import FAULTS_MAX
from pipeline.config.metric_keys import METRIC_KEYS
from pipeline.config.policies import LIMIT_KEYS, SERVICE_KEYS
from pipeline.config.settings import CHANNEL_KEYS
from tests.unit.configured import fault, loaded, refused

PARSERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]


@pytest.fixture(params=PARSERS, ids=lambda parser: parser.__name__)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the two parsers that an installation may have."""
    monkeypatch.setattr(document, "_Loader", request.param)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mode: observe\nmode: enforce", "mode: is given twice, first in line 1: keep one"),
        ("metrics: {a: {kind: count, type: x, kind: gauge}}", "metrics.a.kind: is given twice"),
        ("a: &x b", "a: &x is an anchor: drop it, aliases are not followed"),
        ("watch: &x 1h\nlateness: *x", "lateness: *x is an alias: write the value out"),
        ("<<: {mode: observe}", "'<<': is no known key"),
        ("mode: !!str observe", "mode: the tag 'tag:yaml.org,2002:str' is not understood"),
        ("mode: !!python/object/apply:os.system [x]", "is not understood: drop it"),
        ("? [a]\n: b", "has a list, mapping or alias as a key: keys are plain texts (line 1)"),
        ("mode: enforce\n---\nmode: observe", "holds a second document: keep one"),
        ("- mode", "must be a mapping (`key: value`), not a list"),
        ("observe", "must be a mapping (`key: value`), not 'observe'"),
        ("mode: observe\n\twatch: 1h", "indent with blanks, never with tabs"),
        ("services:\n\ta: b", "indent with blanks, never with tabs"),
        ("mode: [observe", "is no YAML: "),
        ("mode: 'observe", "is no YAML: "),
        ("mode: a: b", "is no YAML: mapping values are not allowed"),
        ("mode: \x01", "is no YAML: "),
        ("%YAML 7.1\n---\nmode: x", "is no YAML: "),
        ("[" * 1000, "is nested deeper than 16 levels"),
        ("{a: " * 1000, "is nested deeper than 16 levels"),
        ("- " * 1000, "is nested deeper than 16 levels"),
        (f"mode: {'x' * 20_000}", "mode: is longer than 16384 characters"),
        ("x" * (1 << 20) + "x", "is larger than 1048576 bytes"),
        (b"mode: \xff\xfe", "byte 6 is not UTF-8: save the file as UTF-8 (line 1)"),
        ("mode: observe".encode("utf-16"), "byte 0 is not UTF-8"),
        (b"\n\nmode: \xe9", "is not UTF-8: save the file as UTF-8 (line 3)"),
        (b"\x00", "is no YAML: "),
    ],
    ids=lambda value: repr(value[:24]),
)  # fmt: skip
@pytest.mark.usefixtures("parser")
def test_yaml_that_could_mislead_is_refused(text: str | bytes, told: str) -> None:
    faults = refused(text)
    assert any(told in str(each) for each in faults), faults


@pytest.mark.usefixtures("parser")
def test_both_parsers_give_the_same_settings() -> None:
    text = """
mode: 'observe'   # quoted
metrics: [{name: query_time, margin: "0.2"}]
services:
  a:
    owner: ~
    escalation: null
    runbook: >-
      folded
      text
cohorts: [a, 'b']
"""
    policy = loaded(text).policy
    assert policy.mode == "observe"
    assert policy.metric("query_time").margin.size == 0.2
    assert policy.services["a"].runbook == "folded text"
    assert (policy.services["a"].owner, policy.cohorts) == ("", ("a", "b"))


def test_an_alias_bomb_costs_no_more_than_its_own_text() -> None:
    bomb = "a: &a [x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)
    )
    faults = refused(bomb)
    assert len(faults) == FAULTS_MAX + 1
    assert "is an anchor: drop it" in str(faults[0])
    assert any("*a is an alias: write the value out" in str(each) for each in faults)


def test_a_file_of_too_many_values_is_left_before_its_end() -> None:
    assert "holds more than 50000 values" in fault("cohorts: [" + "a," * 60_000)


def test_a_file_full_of_faults_is_cut_and_says_so() -> None:
    faults = refused("".join(f"key{n}: x\n" for n in range(5_000)))
    assert len(faults) == FAULTS_MAX + 1
    assert str(faults[-1]) == f"and {5_000 - FAULTS_MAX} more: is this the right file?"


def test_what_is_shown_of_a_hostile_key_or_value_is_short_and_printable() -> None:
    told = fault('"\\e[2Jkey\\n' + "x" * 500 + '": y')
    assert told.isprintable()
    assert len(told) < 500
    assert "\\x1b[2J" in told


@pytest.mark.parametrize(
    ("value", "watch_s"),
    [
        ("${WATCH}", 7_200),
        ("'${WATCH}'", 7_200),
        ("${WATCH:-3h}", 7_200),
        ("${ABSENT:-3h}", 10_800),
        ("${EMPTY:-3h}", 10_800),
        ("${ABSENT:-}", 86_400),
        ("${EMPTY}", 86_400),
        ("${HOURS}h30m", 9_000),
    ],
)
def test_variables_are_filled_in_from_the_environment(value: str, watch_s: int) -> None:
    env = {"WATCH": "2h", "EMPTY": "", "HOURS": "2"}
    assert loaded(f"watch: {value}", env).policy.watch_s == watch_s


def test_a_doubled_dollar_stands_for_itself_and_a_single_one_too() -> None:
    service = loaded("services: {a: {owner: '$${X}', escalation: call $5}}").policy.service("a")
    assert (service.owner, service.escalation) == ("${X}", "call $5")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            "${ABSENT}",
            "ABSENT is not set in the environment: set it, or write ${ABSENT:-",
        ),
        ("${no name}", "has `${` without a name: write ${NAME}, or $${ for the text itself"),
        ("${OPEN", "has `${` without a name"),
        ("${}", "has `${` without a name"),
    ],
)
def test_a_variable_that_is_missing_or_unfinished_is_a_fault(value: str, told: str) -> None:
    assert told in fault(f"mode: '{value}'")


def test_a_variable_is_a_value_and_never_yaml() -> None:
    told = fault("mode: ${MODE}", {"MODE": "observe\nwatch: 1h"})
    assert told.startswith("mode: must be enforce or observe")


def test_a_fault_never_repeats_what_the_environment_holds() -> None:
    told = fault("port: ${PORT}", {"PORT": "hunter2"})
    assert "hunter2" not in told
    assert "not '${PORT}' as set in the environment" in told


def test_a_byte_order_mark_and_windows_line_ends_are_read_over() -> None:
    assert parse(b"\xef\xbb\xbfmode: observe\r\nwatch: 1h\r\n", {}).policy.mode == "observe"


def test_a_file_is_read_no_further_than_its_limit(tmp_path: Path) -> None:
    endless = tmp_path / "endless.yml"
    with endless.open("wb") as file:
        file.truncate(1 << 40)  # a hole: takes no room on the disk
    with pytest.raises(ConfigError, match="is larger than 1048576 bytes"):
        load(endless, {})


def assert_loads_or_gives_faults(data: bytes) -> None:
    """Fails unless some bytes give settings or well-formed faults, and nothing else."""
    found, faults = outcome(data)
    if found is None:
        assert faults
        assert all(each.message and str(each).isprintable() for each in faults)
    else:
        assert found.policy.metrics
        assert outcome(data) == (found, ())


def outcome(data: bytes) -> tuple[Settings | None, tuple[Fault, ...]]:
    """The settings that some bytes describe, or their faults."""
    try:
        return parse(data, {"HOME": "/home"}), ()
    except ConfigError as error:
        return None, error.faults


NAMES = st.sampled_from(
    [
        *(key.name for key in (*KEYS, *METRIC_KEYS, *SERVICE_KEYS, *LIMIT_KEYS, *CHANNEL_KEYS)),
        *(metric.name for metric in catalogue()),
        "absolute", "relative", "types", "country", "a.b", "", "no", "<<",
    ]
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "count", "proportion", "amount", "gauge", "duration", "order.submitted", "1h", "90s", "0",
        "0.1", "higher", "lower", "critical", "watch", "true", "false", "answer", "flow", "value",
        "https://a.example.com/x", "${X:-1h}", "${X", "observe", "reject", "country", "~",
    ]
)  # fmt: skip
SCALARS = st.one_of(
    WORDS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=8),
    st.dates(),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(NAMES, SCALARS), inner, max_size=5)
    ),
    max_leaves=25,
)
METRICS = st.dictionaries(
    NAMES, st.dictionaries(NAMES, st.one_of(WORDS, TREES), max_size=6), max_size=3
)


@settings(max_examples=150)
@given(st.dictionaries(NAMES, st.one_of(WORDS, TREES), max_size=6))
@example({"metrics": {"a": {"kind": "count", "type": [], "segments": [["type"]]}}})
def test_any_mapping_that_yaml_can_write_loads_or_gives_faults(tree: dict[str, object]) -> None:
    assert_loads_or_gives_faults(
        yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    )


@settings(max_examples=150)
@given(METRICS)
def test_any_metrics_load_or_give_faults(metrics: dict[str, object]) -> None:
    assert_loads_or_gives_faults(yaml.safe_dump({"metrics": metrics}).encode())


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode())))
@example(b"%TAG ! tag:x,2000:\n--- !x\na: b")
@example(b"a: !<> b")
@example(b"? \n: \n")
def test_any_bytes_load_or_give_faults(data: bytes) -> None:
    assert_loads_or_gives_faults(data)


@given(st.data())
def test_an_example_broken_at_any_place_loads_or_gives_faults(data: st.DataObject) -> None:
    text = Path(__file__).parents[2].joinpath("docs", "plimsoll.example.yml").read_bytes()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    assert_loads_or_gives_faults(text[:start] + data.draw(st.binary(max_size=5)) + text[end:])
