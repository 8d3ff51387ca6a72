"""Every fault at once: none hides another one, and none is told twice."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from collector.decoding import attributes, texts
from collector.mapping.terms import TEXT_BYTES
from pipeline.config import look
from pipeline.config.check import check
from pipeline.config.metric_keys import NAME_BYTES
from tests.unit.configured import fault, loaded, metric_fault, metric_of, refused

NO_TYPE = "metrics.mine.type: is missing: say which events feed it"


def told(text: str) -> list[str]:
    """The faults of a text, a line each."""
    return [str(each) for each in refused(text)]


def assert_told(text: str, *wanted: str) -> None:
    """Holds a text to having these faults, each once, and no others."""
    found = told(text)
    for each in wanted:
        assert sum(each in line for line in found) == 1, (each, found)
    assert len(found) == len(wanted), found


# Faults that have nothing to do with each other, each with what is told of it.
APART = {
    "[a, b]: 5": "has a list, mapping or alias as a key: keys are plain texts",
    "error_rate: 7": "error_rate: must be a number from 1e-09 to 0.5, not '7'",
    "bake: -1m": "bake: must be a duration",
    "audit: {a: [[[[[[[[[[[[[[[[[[b]]]]]]]]]]]]]]]]]]}": "is nested deeper than 16 levels",
    "alerts: [{webhook: nowhere}]": "alerts[0].webhook: must be an address",
    "cohorts: [version]": "cohorts: version is a field of the event",
    "services: {a: {depends_on: a}}": "services.a.depends_on: names the service itself",
    "sources: [{files: in, reject_ratio: 2}]": "sources[0].reject_ratio: must be a number",
    "metrics: {'a b': {kind: count, type: x, margin: -1}}": "metrics.'a b'.margin: must be",
    "host: 999.1.1.1": "host: must be an address or host name",
    "port: &p 99999": "port: must be a whole number from 0 to 65535",
    "mode: obey": "mode: must be enforce or observe",
    "nonsense: 1": "nonsense: is no known key",
}


@pytest.mark.parametrize(
    ("one", "other"), list(combinations(APART, 2)), ids=lambda text: text.split(":")[0]
)
def test_no_fault_hides_another_one_wherever_it_stands(one: str, other: str) -> None:
    found = told(f"{one}\n{other}\n")
    assert sum(APART[one] in line for line in found) == 1, found
    assert sum(APART[other] in line for line in found) == 1, found
    assert len(set(found)) == len(found)


def test_every_copy_of_a_key_is_judged_and_what_lies_beside_them_once() -> None:
    text = """
metrics:
  order_throughput: {margin: -1}
  order_throughput: {weight: -2, margin: -3, margin: -4}
  order_throughput: {unit: [x]}
bake: -1m
bake: -2m
mode: obey
"""
    at = "metrics.order_throughput"
    assert_told(
        text,
        f"{at}.margin: must be a positive number such as 0.01, not '-1'",
        f"{at}: is given twice, first in line 3: keep one of the two (line 4)",
        f"{at}: is given twice, first in line 3: keep one of the two (line 5)",
        f"{at}.margin: is given twice, first in line 4",
        f"{at}.weight: must be",
        f"{at}.margin: must be a positive number such as 0.01, not '-3'",
        f"{at}.margin: must be a positive number such as 0.01, not '-4'",
        f"{at}.unit: must be",
        "bake: must be a duration from 0 to 7d, such as 90s, 30m, 12h or 30d, not '-1m'",
        "bake: is given twice, first in line 6",
        "bake: must be a duration from 0 to 7d, such as 90s, 30m, 12h or 30d, not '-2m'",
        "mode: must be enforce or observe",
    )


def test_a_source_given_twice_with_a_slip_brings_no_fault_that_is_not_there() -> None:
    source = "{files: in, map: {time: t, type: a, service: s, value: {from: v, scale: x}}}"
    assert_told(
        f"sources: [{source}]\nmode: observe\nmode: enforce\n",
        "sources[0].map.value.scale: must be a number",
        "mode: is given twice",
    )


def test_a_metric_with_a_bad_name_is_judged_as_what_it_may_be() -> None:
    assert_told(
        "metrics: {'api latency': {margin: -1, weight: x}}",
        "is no name of a metric: a letter, then letters, digits, _ - or .; did you mean api_l",
        ".margin: must be a positive number",
        ".weight: must be a number",
    )
    assert_told(
        "metrics: {'1st': {weight: x}, '2nd': {kind: amount, type: x, cap: -1}}",
        "metrics.'1st': is no name",
        "metrics.'1st'.weight: must be",
        "metrics.'2nd': is no name",
        "metrics.'2nd'.cap: must be",
        "metrics.'2nd'.worse: is missing",
    )


def test_metrics_and_services_without_a_name_or_with_anothers_are_judged() -> None:
    assert_told(
        "metrics: [{margin: -1}, query_time, {name: query_time, weight: 0}]",
        "metrics[0]: needs a `name:`",
        "metrics[0].margin: must be",
        "metrics[2]: names 'query_time' a second time",
        "metrics[2].weight: must be",
    )
    long = "x" * 129
    assert_told(
        f"services: [{{owner: [a]}}, {{name: {long}, tier: [b]}}]",
        "services[0]: needs a `name:`",
        "services[0].owner: must be",
        "is no name of a service",
        ".tier: must be",
    )


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            "kind: count, type: x, margin: {absolute: 0.1, relative: -1}",
            (".margin: must say either", ".margin.relative: must be a positive"),
        ),
        (
            "kind: count, type: x, margin: {absolute: -1, relative: x}",
            (".margin: must say either", ".margin.absolute: must", ".margin.relative: must"),
        ),
        (
            "kind: count, type: x, segments: [[value, track], [country, subject], version]",
            (
                ".segments[0][0]: value is a field of the event",
                ".segments[0][1]: track is a field",
                ".segments[1][1]: subject is a field",
                ".segments[2]: version is a field",
            ),
        ),
        (
            "kind: count, type: x, segments: [[a, b, c, d, value]]",
            (".segments[0]: has 5 entries: at most 4", ".segments[0][4]: value is a field"),
        ),
        (
            "kind: count, type: x, where: {track: [a], 'b c': d}",
            (".where.track: is a field", ".where.track: must be one", ".where.'b c': is no name"),
        ),
        (
            "kind: odd, weight: 2, criticality: watch",
            (".kind: must be one of", ".type: is missing", ".weight: belongs to metrics that"),
        ),
        (
            "kind: odd, type: x, answered_by: x, margin: -1",
            (".kind: must be one of", ".answered_by: x is what asks as well", ".margin: must be"),
        ),
        (
            "kind: proportion, type: x, measure: odd, answered_by: y, worse: higher",
            (".measure: must be one of", ".worse: must be lower"),
        ),
        (
            "kind: proportion, type: x, measure: value, answered_by: a b, deadline: -1h",
            (".measure: value does not make", ".answered_by: must be", ".deadline: must be"),
        ),
        ("kind: count, type: x, worse: hihger, margin: 2", (".worse: must be higher or lower",)),
        ("kind: gauge, measure: odd", (".measure: must be one of", ".type: is missing")),
        (
            "kind: gauge, type: x, measure: outcome, cap: 3",
            (".measure: outcome does not make a gauge", ".cap: belongs to amounts"),
        ),
    ],
)
def test_no_part_of_a_metric_hides_another(body: str, wanted: tuple[str, ...]) -> None:
    assert_told(f"metrics: {{mine: {{{body}}}}}", *wanted)


def test_an_unknown_kind_of_a_metric_of_the_catalogue_says_nothing_of_its_old_kind() -> None:
    assert "kind: must be one of" in fault("metrics: {api_success: {kind: duraton, margin: 5}}")


def test_all_metrics_are_judged_when_there_are_too_many() -> None:
    body = "".join(f"  m{n}: {{kind: count, type: x}}\n" for n in range(250))
    assert_told(
        f"metrics:\n{body}  last: {{kind: count, type: x, margin: -1}}\n",
        "metrics: has 251 entries: at most 200",
        "metrics.last.margin: must be",
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "sources: [{name: a b, map: {time: t, service: s}}]",
            ("must name either `kafka:`", ".name: must be a name", ".map.type: is missing"),
        ),
        (
            "alerts: [{webhook: x, alertmanager: y, headers: {Host: z}}]",
            ("alerts[0]: must name either", ".webhook: must", ".alertmanager: must", "Host: is"),
        ),
        (
            "alerts: [{webhook: 'https://a/'}, {webhook: 'https://a/'}, {webhook: 'https://a/'}]",
            ("alerts[1]: is the same address", "alerts[2]: is the same address"),
        ),
    ],
)
def test_no_part_of_a_source_or_channel_hides_another(text: str, wanted: tuple[str, ...]) -> None:
    assert_told(text, *wanted)


def test_what_is_named_is_tried_whatever_else_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    file = tmp_path / "plimsoll.yml"
    file.write_text(f"""
error_rate: 7
state: {tmp_path / "plain" / "state"}
alerts:
  - {{webhook: nowhere}}
  - {{webhook: 'http://127.0.0.1:1/'}}
sources:
  - {{name: a, kafka: 5}}
  - {{name: b, files: absent, reject_ratio: 3}}
""")
    lines = check(file, {}).lines()
    wanted = (
        "fault  error_rate: must be",
        "fault  state: ",
        "fault  alerts[0].webhook: must be an address",
        "fault  alerts[1]: webhook http://127.0.0.1:1 does not answer",
        "fault  sources[0].kafka: must be a mapping",
        f"fault  sources[1].files[0]: {tmp_path / 'absent'} does not exist",
        "fault  sources[1].reject_ratio: must be",
    )
    assert len(lines) == len(wanted) + 1, lines
    for each in wanted:
        assert sum(line.startswith(each) for line in lines) == 1, each
    assert lines[-1] == f"{file}: 7 faults"


def test_what_has_a_fault_is_not_tried_in_its_half(tmp_path: Path) -> None:
    file = tmp_path / "plimsoll.yml"
    file.write_text("""
state: ${ABSENT}
alerts:
  - {webhook: 'http://127.0.0.1:1/', headers: {Host: x}}
  - {webhook: 'http://127.0.0.1:2/', headers: {Authorization: 'Bearer ${ABSENT}'}}
sources:
  - {kafka: {brokers: '127.0.0.1:1', topics: [t, '']}}
  - {name: b, kafka: {brokers: '127.0.0.1:1', topics: t, security: {password: "${ABSENT}"}}}
""")
    found = check(file, {})
    assert found.probes == ()
    assert len(found.faults) >= 5


def test_a_file_that_cannot_be_read_at_all_is_one_fault(tmp_path: Path) -> None:
    file = tmp_path / "plimsoll.yml"
    file.write_text("state: /dev/null/x\nmode: [")
    found = check(file, {})
    assert (len(found.faults), found.probes) == (1, ())
    assert look(file, {}).settings is None


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("kind: count, type: ''", ".type: is an empty text: write a value, or drop the key"),
        ("kind: count, type: x, service: \"\"", ".service: is an empty text"),
        ("kind: count, type: x, segments: ''", ".segments: is an empty text"),
        ("kind: count, type: x, segments: ['']", ".segments[0]: names no attribute"),
        ("kind: count, type: x, segments: [~]", ".segments[0]: names no attribute"),
        ("kind: count, type: x, segments: [[]]", ".segments[0]: names no attribute"),
        ("kind: count, type: x, segments: [[a, b, a]]", ".segments[0]: names a twice: keep one"),
        ("kind: count, type: ~", ".type: is missing"),
        ("kind: ~, type: x", ": is not in the catalogue, so it needs `kind:`"),
        ("kind: '', type: x", ".kind: is an empty text"),
        ("kind: amount, type: x, worse: ~", ".worse: is missing"),
        ("kind: amount, type: x, worse: ''", ".worse: is an empty text"),
        ("kind: ratio, type: x, worse: higher, over: ~", ".over: is missing"),
        (
            "kind: proportion, type: x, measure: answer, answered_by: ~, deadline: 1h",
            ".answered_by: is missing",
        ),
        ("kind: count, type: x, margin: 1e308", "not '1e308': write one from 1e-06 to 1e+12"),
        ("kind: count, type: x, margin: 1e-12", "not '1e-12': write one from 1e-06 to 1e+12"),
        ("kind: count, type: x, margin: 1e999", "not '1e999': write one from 1e-06 to 1e+12"),
        ("kind: count, type: x, margin: -1", "such as 0.01, not '-1' (line 1)"),
    ],
)  # fmt: skip
def test_nothing_is_a_fault_where_a_value_is_needed(body: str, wanted: str) -> None:
    assert wanted in metric_fault(body)


def test_an_empty_text_may_stand_where_it_means_none() -> None:
    kept = loaded("metrics: {api_success: {reason: '', unit: ''}}").policy.metric("api_success")
    assert (kept.unit, kept.reason != "") == ("1", True)


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (f"{'k' * (NAME_BYTES + 1)}: v", "is longer than the name of an attribute can be, 64 byte"),
        (f"{'ü' * (NAME_BYTES // 2 + 1)}: v", "no event feeds it"),
        (
            f"k: {'v' * (TEXT_BYTES + 1)}",
            ".where.k: must be one attribute value, at most 256 bytes",
        ),
        (f"k: {'ü' * (TEXT_BYTES // 2 + 1)}", ".where.k: must be one attribute value"),
    ],
)
def test_a_condition_that_no_event_can_meet_is_refused(where: str, wanted: str) -> None:
    assert wanted in metric_fault(f"kind: count, type: x, where: {{{where}}}")


def test_names_and_values_may_be_as_long_as_those_of_an_event() -> None:
    assert (NAME_BYTES, TEXT_BYTES) == (attributes.NAME_BYTES, texts.TEXT_BYTES)
    where = f"{'k' * NAME_BYTES}: {'v' * TEXT_BYTES}"
    (condition,) = metric_of(f"kind: count, type: x, where: {{{where}}}").where
    assert tuple(map(len, condition)) == (NAME_BYTES, TEXT_BYTES)
    assert "must be the name of an" in metric_fault(
        f"kind: count, type: x, segments: [{'ü' * (NAME_BYTES // 2 + 1)}]"
    )


@pytest.mark.parametrize("host", ["999.1.1.1", "1.2.3", "1.2.3.4.5", "0", "::g", "1::2::3", ":"])
def test_an_address_that_cannot_be_is_refused(host: str) -> None:
    assert fault(f"host: '{host}'").startswith("host: must be an address or host name")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::", "node-1.example.com", "9lives", "a.1"])
def test_an_address_or_a_name_is_taken(host: str) -> None:
    assert loaded(f"host: '{host}'").host == host


SHARE = (
    "sources: [{{files: '-', map: {{time: t, type: {{constant: deployment.started}}, service: s, "
    "share: {{from: p, {}}}}}}}]"
)


@pytest.mark.parametrize(
    ("share", "wanted"),
    [
        ("scale: -5", ".share.scale: -5 leaves no share from 0 to 1: it must be above 0"),
        ("scale: -1, offset: -1", ".share.scale: -1 leaves no share from 0 to 1"),
        ("scale: 0", ".share.scale: makes every share the same"),
        ("offset: 2", ".share.offset: 2 leaves no share from 0 to 1"),
        ("scale: 0.01, offset: 2", ".share.offset: 2 leaves no share from 0 to 1"),
        ("unit: h", ".share.unit: is of times"),
    ],
)
def test_a_share_that_a_mapping_could_never_give_is_refused(share: str, wanted: str) -> None:
    assert wanted in fault(SHARE.format(share))


@pytest.mark.parametrize("share", ["scale: 0.01", "unit: percent", "scale: -1, offset: 1"])
def test_a_share_may_be_percent_or_what_is_left(share: str) -> None:
    (source,) = loaded(SHARE.format(share)).sources
    assert source.mapped is not None


@pytest.mark.parametrize("text", ["mode: observe\nbake: 1m\n\0", "\n\nmode: \x01"])
def test_a_character_that_yaml_forbids_is_told_with_its_line(text: str) -> None:
    assert fault(text).endswith("(line 3)")
