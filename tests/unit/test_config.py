"""A configuration as a whole: defaults, services, limits, the daemon, the digest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analyzers.policy import FixedRule, Limits, Service
from pipeline.config import Channel, ConfigError, load
from pipeline.config.catalogue import catalogue
from tests.unit.configured import fault, loaded, refused

EVERYTHING = """
metrics:
  order_submission_success: {margin: 0.03, service: order-api}
  label_success: {kind: proportion, type: partner.called, where: {call: label, carrier: 010}}
services:
  order-api: {tier: critical, owner: team-orders, escalation: call them, runbook: "https://w/1",
              rollback_criteria: orders fall, recovery_objective: 30m, depends_on: [b, a, b]}
  pricing:
cohorts: [warehouse, branch, warehouse]
error_rate: 0.02
promotion_error_rate: 0.1
watch: 12h
lateness: 0
retention: 30d
assignment_error_rate: 1e-4
bake: 10m
mode: observe
fixed_rule: {min_events: 30}
limits: {segments: 50, outbox: 7}
host: 0.0.0.0
insecure: true
port: 0
state: kept/here
unknown_services: reject
alerts:
  - webhook: https://hooks.example.com/T0/secret
    headers: {Authorization: Bearer x, X-Team: orders}
  - alertmanager: http://am.example.com:9093/api/v2/alerts
"""


@pytest.mark.parametrize("text", ["", "\n", "# only words\n", "---\n", "~", "metrics:\nalerts: []"])
def test_a_file_that_says_nothing_gives_the_defaults(text: str) -> None:
    settings = loaded(text, {"HOME": "/h/ann"})
    assert settings == load(None, {"HOME": "/h/ann"})
    assert settings.policy.metrics == catalogue()
    assert (settings.host, settings.port) == ("127.0.0.1", 8600)
    assert settings.state == Path("/h/ann/.local/state/plimsoll")
    assert settings.policy.watch_s == 24 * 3600
    assert settings.policy.limits == Limits()


def test_everything_that_is_written_arrives(tmp_path: Path) -> None:
    file = tmp_path / "plimsoll.yml"
    file.write_text(EVERYTHING)
    settings = load(file, {})
    policy = settings.policy
    assert policy.metric("order_submission_success").services == ("order-api",)
    assert policy.metric("label_success").where == (("call", "label"), ("carrier", "010"))
    assert policy.services["order-api"] == Service(
        name="order-api",
        tier="critical",
        owner="team-orders",
        escalation="call them",
        runbook="https://w/1",
        rollback_criteria="orders fall",
        recovery_objective_s=1800,
        depends_on=("a", "b"),
    )
    assert policy.services["pricing"] == Service("pricing")
    assert policy.cohorts == ("branch", "warehouse")
    assert (policy.error_rate, policy.promotion_error_rate) == (0.02, 0.1)
    assert (policy.watch_s, policy.lateness_s, policy.retention_s) == (43_200, 0, 2_592_000)
    assert (policy.assignment_error_rate, policy.bake_s) == (1e-4, 600)
    assert policy.fixed_rule == FixedRule(30)
    assert (policy.mode, policy.limits) == ("observe", Limits(segments=50, outbox=7))
    assert (settings.host, settings.port, settings.insecure) == ("0.0.0.0", 0, True)
    assert settings.state == tmp_path / "kept" / "here"
    assert settings.unknown_services == "reject"
    assert settings.alerts == (
        Channel(
            "webhook",
            "https://hooks.example.com/T0/secret",
            (("Authorization", "Bearer x"), ("X-Team", "orders")),
        ),
        Channel("alertmanager", "http://am.example.com:9093"),
    )


def test_every_fault_is_told_at_once_with_its_path_value_and_remedy() -> None:
    faults = refused("""
metrics:
  order_submission_success: {margin: -1, criticality: critcal}
  order_submision_success: {margin: 0.03}
services: {a: {recovery_objective: 30}}
error_rate: 0.6
watch: soon
limits: {segments: 0}
port: 70000
marging: 1
""")
    assert [fault.path for fault in faults] == [
        "metrics.order_submission_success.margin",
        "metrics.order_submission_success.criticality",
        "metrics.order_submision_success",
        "services.a.recovery_objective",
        "error_rate",
        "watch",
        "limits.segments",
        "port",
        "marging",
    ]
    told = {fault.path: fault.message for fault in faults}
    assert told["metrics.order_submission_success.margin"] == (
        "must be a positive number such as 0.01, not '-1'"
    )
    assert "did you mean critical?" in told["metrics.order_submission_success.criticality"]
    assert "did you mean order_submission_success?" in told["metrics.order_submision_success"]
    assert "write 30s, 30m or 30h" in told["services.a.recovery_objective"]
    assert told["error_rate"] == "must be a number from 1e-09 to 0.5, not '0.6'"
    assert told["limits.segments"] == "must be a whole number from 1 to 100000, not '0'"
    assert [fault.line for fault in faults] == sorted(fault.line for fault in faults)


def test_every_fault_of_what_is_judged_is_told_at_once() -> None:
    faults = refused("""
error_rate: 0
assignment_error_rate: 1
bake: 2d
fixed_rule: {min_events: none}
metrics:
  returns: {kind: ratio, type: order.returned, over: orders, worse: higher, margin: -0.1}
  value: {kind: amount, type: order.submitted, worse: lower, cap: -5, weight: heavy}
  depth: {kind: guage, type: queue.sampled, margin: -2}
  unheard: {type: x, weight: -1}
  answers: {kind: proportion, measure: answer, type: [], answered_by: b, deadline: 1h}
  lanes: {kind: proportion, type: x, where: {service: a}, margin: 3}
  assignment: {criticality: standard}
""")
    told = [f"{fault.path}: {fault.message}"[:72] for fault in faults]
    assert told == [
        "error_rate: must be a number from 1e-09 to 0.5, not '0'",
        "assignment_error_rate: must be a number from 1e-09 to 0.5, not '1'",
        "bake: 2d is not shorter than the watch of 1d: nothing would be judged",
        "fixed_rule.min_events: must be a whole number from 1 to 1000000000, not ",
        "metrics.returns.margin: must be a positive number such as 0.01, not '-0.",
        "metrics.returns.over: orders is no metric of this policy: name one of it",
        "metrics.value.cap: must be a number from 1e-09 to 9e+09, not '-5'",
        "metrics.value.weight: must be a number from 0.001 to 100, not 'heavy'",
        "metrics.depth.kind: must be one of count, proportion, duration, amount, ",
        "metrics.depth.margin: must be a positive number such as 0.01, not '-2'",
        "metrics.unheard: is not in the catalogue, so it needs `kind:` and the `t",
        "metrics.unheard.weight: must be a number from 0.001 to 100, not '-1'",
        "metrics.answers.type: names none: `measure: answer` needs its events nam",
        "metrics.lanes.where.service: is a field of the event and no attribute: w",
        "metrics.lanes.margin: 3 must be below 1: one percent is written 0.01",
        "metrics.assignment.criticality: must be watch, not standard: assignments",
    ]


def test_a_fixed_rule_is_judged_beside_ours_only_if_it_is_asked_for() -> None:
    assert loaded("").policy.fixed_rule is None
    assert loaded("fixed_rule:").policy.fixed_rule is None
    assert loaded("fixed_rule: {}").policy.fixed_rule == FixedRule(100)


def test_what_is_baked_may_be_nothing_at_all() -> None:
    assert loaded("bake: 0").policy.bake_s == loaded("bake: 0s").policy.bake_s == 0
    assert loaded("").policy.bake_s == 0


def test_the_error_prints_its_source_and_one_line_for_each_fault(tmp_path: Path) -> None:
    file = tmp_path / "p.yml"
    file.write_text("mod: observe\nport: x\n")
    with pytest.raises(ConfigError, match=r"p\.yml: 2 faults") as caught:
        load(file, {})
    head, first, second = str(caught.value).splitlines()
    assert head == f"{file}: 2 faults"
    assert first == "  mod: is no known key; did you mean mode? (line 1)"
    assert second.endswith("port: must be a whole number from 0 to 65535, not 'x' (line 2)")


@pytest.mark.parametrize("name", ["absent.yml", "folder", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_fault_and_no_crash(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=r"cannot be read \(.+\): name a policy file that exists"):
        load(tmp_path / name, {})


@pytest.mark.parametrize(
    ("text", "path", "told"),
    [
        ("error_rate: 0", "error_rate", "a number from 1e-09 to 0.5, not '0'"),
        ("error_rate: true", "error_rate", "a number from 1e-09 to 0.5, not 'true'"),
        ("error_rate: 1%", "error_rate", "not '1%': write 0.01"),
        ("error_rate: .inf", "error_rate", "not '.inf'"),
        ("error_rate: [0.1]", "error_rate", "not a list"),
        ("promotion_error_rate: 0,05", "promotion_error_rate", "not '0,05': write 0.05"),
        ("watch: 0", "watch", "must be a duration from 10s to 3660d, such as 90s, 30m, 12h or 30d"),
        ("watch: 2h30", "watch", "not '2h30'"),
        ("watch: 30m1h", "watch", "not '30m1h'"),
        ("watch: 1e3s", "watch", "not '1e3s'"),
        ("lateness: 8d", "lateness", "must be a duration from 0 to 7d"),
        ("lateness: 30", "lateness", "not '30': write 30s, 30m or 30h"),
        ("{watch: 30d, retention: 2d}", "retention", "2d is shorter than the watch of 30d"),
        ("mode: off", "mode", "must be enforce or observe, not 'off'"),
        ("error_rate: 1e-320", "error_rate", "a number from 1e-09 to 0.5, not '1e-320'"),
        ("promotion_error_rate: .nan", "promotion_error_rate", "not '.nan'"),
        ("assignment_error_rate: 0", "assignment_error_rate", "from 1e-09 to 0.5, not '0'"),
        ("assignment_error_rate: -0.1", "assignment_error_rate", "not '-0.1'"),
        ("assignment_error_rate: 0.6", "assignment_error_rate", "not '0.6'"),
        ("assignment_error_rate: rare", "assignment_error_rate", "not 'rare'"),
        ("bake: -5m", "bake", "must be a duration from 0 to 7d, such as 90s"),
        ("bake: 5", "bake", "write 5s, 5m or 5h"),
        ("bake: 24h", "bake", "1d is not shorter than the watch of 1d: nothing would be judged"),
        ("{bake: 2h, watch: 1h}", "bake", "2h is not shorter than the watch of 1h"),
        ("fixed_rule: true", "fixed_rule", "must be a mapping (`key: value`), not 'true'"),
        ("fixed_rule: {min_event: 5}", "fixed_rule.min_event", "did you mean min_events?"),
        ("fixed_rule: {min_events: 0}", "fixed_rule.min_events", "from 1 to 1000000000, not '0'"),
        ("fixed_rule: {min_events: 1e9}", "fixed_rule.min_events", "not '1e9'"),
        ("mode: observing", "mode", "must be enforce or observe, not 'observing'; did you mean"),
        ("catalogue: no", "catalogue", "must be true or false, not 'no'"),
        ("catalogue: false", "catalogue", "names none: nothing would be judged"),
        ("cohorts: [type]", "cohorts", "type is a field of the event and no attribute"),
        ("cohorts: {a: b}", "cohorts", "must be one attribute or a list of them, not a mapping"),
        ("services: a", "services", "must be a mapping by name or a list, not 'a'"),
        ("services: {a: {depends_on: a}}", "services.a.depends_on", "names the service itself"),
        ("services: {a: {owner: {b: c}}}", "services.a.owner", "200 characters, not a mapping"),
        ('services: {a: {owner: "x\\ty"}}', "services.a.owner", "not 'x\\ty'"),
        ('services: {"b\\n": }', "services.'b\\n'", "at most 128 printable characters"),
        ("services: [a, a]", "services[1]", "names 'a' a second time: keep one of the two"),
        ("services: [{owner: b}]", "services[0]", "needs a `name:`"),
        ("services: {a: {name: b}}", "services.a.name", "is 'b', but the key above says 'a'"),
        ("limits: {line_byte: 2048}", "limits.line_byte", "did you mean line_bytes?"),
        ("limits: {segments: 1.5}", "limits.segments", "a whole number from 1 to 100000"),
        ("limits: {body_bytes: 2048}", "limits.body_bytes", "less than line_bytes, 1048576"),
        ("limits: {queued_events: 5}", "limits.queued_events", "than batch_events, 100000: raise"),
        ("limits: 5", "limits", "must be a mapping (`key: value`), not '5'"),
        ("port: 86_00", "port", "must be a whole number from 0 to 65535, not '86_00'"),
        ("host: a b", "host", "an address or host name such as 127.0.0.1 or 0.0.0.0, not 'a b'"),
        ("state: [x]", "state", "must be a folder, not a list"),
        ("unknown_services: reject", "unknown_services", "names none: all would be rejected"),
    ],
)
def test_a_fault_names_path_value_and_remedy(text: str, path: str, told: str) -> None:
    (found,) = refused(text)
    assert found.path == path
    assert told in found.message


def test_what_is_watched_long_is_kept_as_long() -> None:
    policy = loaded("watch: 500d").policy
    assert policy.watch_s == policy.retention_s == 500 * 86_400


@pytest.mark.parametrize("address", ["javascript:alert(1)", "Data:text/html,x", "file:///etc"])
def test_a_runbook_that_a_browser_would_run_is_refused(address: str) -> None:
    told = fault(f"services: {{a: {{runbook: '{address}'}}}}")
    assert told.startswith("services.a.runbook: must be a page or a note, not '")
    assert "write its https address" in told


@pytest.mark.parametrize(
    ("alerts", "path", "told"),
    [
        ("{webhook: ftp://a/b}", "alerts.webhook", "; what stands here is none"),
        ("{webhook: 'https://a:99999/b'}", "alerts.webhook", "; what stands here is none"),
        ("{webhook: 'https://a:0/b'}", "alerts.webhook", "; what stands here is none"),
        ("{webhook: 'https://[::1/b'}", "alerts.webhook", "; what stands here is none"),
        ("{webhook: 'https:///b'}", "alerts.webhook", "; what stands here is none"),
        ("{webhook: [a]}", "alerts.webhook", "https://alerts.example.com/hook, not a list"),
        ("{webhook: 'https://u:secret@a/'}", "alerts.webhook", "end up in logs: use `headers:`"),
        ("{webhook: 'https://a/#b'}", "alerts.webhook", "a part after `#`, which is never sent"),
        ("[{headers: {A: b}}]", "alerts[0]", "either `webhook:` or `alertmanager:`"),
        ("{webhook: 'http://a', alertmanager: 'http://a'}", "alerts", "must name either"),
        ("[{webhook: 'http://a'}, {webhook: 'http://a'}]", "alerts[1]", "arrive twice"),
        ("[https://a]", "alerts[0]", "must be a mapping (`key: value`), not 'https://a'"),
        ("{webhook: 'http://a', headers: [b]}", "alerts.headers", "must be a mapping of header"),
        ("{webhook: 'http://a', headers: {A b: c}}", "alerts.headers.'A b'", "no name of an HTTP"),
        ("{webhook: 'http://a', headers: {Host: c}}", "alerts.headers.Host", "by the sender"),
        ("{webhook: 'http://a', headers: {A: b, a: c}}", "alerts.headers", "in different cases"),
        ('{webhook: "http://a", headers: {T: "secret\\r\\n"}}', "alerts.headers.T", "one line"),
    ],
)
def test_a_channel_that_could_never_be_told_is_refused(alerts: str, path: str, told: str) -> None:
    (found,) = refused(f"alerts: {alerts}")
    assert found.path == path
    assert told in found.message
    assert "secret" not in str(found)


def test_a_channel_of_an_unknown_kind_names_the_known_ones() -> None:
    told = [str(each) for each in refused("alerts: [{slack: 'https://a'}]")]
    assert "known are webhook, alertmanager, headers" in told[0]


def test_more_channels_or_headers_than_the_limit_are_refused() -> None:
    channels = ", ".join(f"{{webhook: 'https://a/{n}'}}" for n in range(17))
    assert "has 17 channels: at most 16 are told" in fault(f"alerts: [{channels}]")
    headers = ", ".join(f"A{n}: b" for n in range(21))
    told = fault(f"alerts: {{webhook: 'https://a', headers: {{{headers}}}}}")
    assert "has 21 headers: at most 20 are sent" in told


def test_no_secret_of_a_channel_shows_in_its_repr_or_label() -> None:
    (channel,) = loaded(
        "alerts: {webhook: 'https://hooks.example.com/T0/secret?k=secret', headers: {A: secret}}"
    ).alerts
    assert "secret" not in repr(channel) + channel.label


@pytest.mark.parametrize(
    ("env", "state"),
    [
        ({"HOME": "/h/ann", "XDG_STATE_HOME": "/var/x"}, "/var/x/plimsoll"),
        ({"HOME": "/h/ann", "XDG_STATE_HOME": "relative"}, "/h/ann/.local/state/plimsoll"),
        ({}, ".local/state/plimsoll"),
    ],
)
def test_the_state_lies_where_the_user_keeps_state(env: dict[str, str], state: str) -> None:
    assert load(None, env).state == Path(state)


def test_a_state_at_home_is_found_there() -> None:
    assert loaded("state: ~/kept", {"HOME": "/h/ann"}).state == Path("/h/ann/kept")


@pytest.mark.parametrize(
    ("text", "exposed"),
    [
        ("host: 127.0.0.9", False),
        ("host: ::1", False),
        ("host: localhost", False),
        ("host: 0.0.0.0", True),
        ("host: box.example.com", True),
        ("{host: 0.0.0.0, insecure: true}", False),
    ],
)
def test_an_address_that_others_can_reach_is_told_from_one_that_they_cannot(
    text: str, exposed: bool
) -> None:
    assert loaded(text).exposed is exposed


def test_services_are_known_by_name_by_metric_or_because_all_are() -> None:
    picky = "{unknown_services: reject, services: [a], metrics: {api_success: {service: b}}}"
    assert [loaded(picky).knows(name) for name in "abc"] == [True, True, False]
    assert loaded("services: [a]").knows("c")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", "watch: 24h"),
        ("watch: 1d", "watch: 1440m"),
        ("{mode: observe, watch: 2h}", "{watch: 1h60m, mode: observe}"),
        ("metrics: [api_success]", "metrics: {api_success: {margin: {absolute: 0.0050}}}"),
        ("metrics: [api_success, query_time]", "metrics: {query_time: , api_success: {}}"),
        (
            "metrics: {a: {kind: count, type: x}, b: {kind: count, type: [y, z]}}",
            "metrics: [{name: b, type: [z, y, z], kind: count}, {kind: count, type: x, name: a}]",
        ),
        (
            "metrics: {api_success: {segments: [[partner, document], country]}}",
            "metrics: {api_success: {segments: [country, [document, partner], [country]]}}",
        ),
        (
            "services: {b: {depends_on: [x, y]}, a: }",
            "services: [a, {name: b, depends_on: [y, x]}]",
        ),
        ("cohorts: [a, b]", "cohorts: [b, a]"),
        ("", "{port: 9, host: localhost, alerts: {webhook: 'https://a'}}"),
    ],
)
def test_policies_that_mean_the_same_have_the_same_digest(one: str, other: str) -> None:
    assert loaded(one).policy.digest() == loaded(other).policy.digest()


@pytest.mark.parametrize(
    "text",
    [
        "watch: 23h",
        "mode: observe",
        "error_rate: 0.02",
        "assignment_error_rate: 0.01",
        "bake: 5m",
        "fixed_rule: {}",
        "metrics: {api_success: {weight: 1.5}}",
        "metrics: {price_deviation: {cap: 0.4}}",
        "metrics: {order_throughput: {exposure: session.started}}",
        "metrics: [api_success]",
        "metrics: {api_success: {margin: 0.006}}",
        "services: {a: {owner: b}}",
        "limits: {segments: 199}",
        "{catalogue: false, metrics: [api_success]}",
    ],
)
def test_policies_that_differ_in_meaning_differ_in_digest(text: str) -> None:
    assert loaded(text).policy.digest() != loaded("").policy.digest()


def test_the_digest_is_the_same_in_every_process() -> None:
    script = (
        "from pipeline.config import parse\n"
        "text = b'{services: [a, b], cohorts: [x, y], metrics: {m: {kind: count, type: t}}}'\n"
        "import sys; sys.stdout.write(parse(text, {}).policy.digest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert digests.pop().startswith(b"sha256:")


def test_reading_a_configuration_imports_nothing_heavy() -> None:
    script = (
        "import sys, pipeline.config\npipeline.config.load(None, {})\n"
        "heavy = {'numpy', 'scipy', 'pandas', 'pyarrow', 'httpx'} & set(sys.modules)\n"
        "sys.exit(f'{heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
