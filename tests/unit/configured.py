"""Short ways to load a configuration and to look at its faults, for the tests of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from analyzers.policy import Metric
from pipeline.config import ConfigError, Fault, Settings, parse

NO_VARIABLES: Mapping[str, str] = {}


def loaded(text: str, env: Mapping[str, str] = NO_VARIABLES) -> Settings:
    """The settings that a YAML text describes."""
    return parse(text.encode(), env)


def refused(text: str | bytes, env: Mapping[str, str] = NO_VARIABLES) -> tuple[Fault, ...]:
    """The faults for which a text is refused; it must be."""
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigError) as caught:
        parse(data, env)
    assert caught.value.faults
    return caught.value.faults


def fault(text: str | bytes, env: Mapping[str, str] = NO_VARIABLES) -> str:
    """The only fault of a text, in one line."""
    faults = refused(text, env)
    assert len(faults) == 1, "\n".join(map(str, faults))
    return str(faults[0])


def metric_of(body: str, name: str = "mine") -> Metric:
    """The metric that a definition in flow style describes."""
    return loaded(f"metrics: {{{name}: {{{body}}}}}").policy.metric(name)


def metric_fault(body: str, name: str = "mine") -> str:
    """The only fault of a definition, without the path of the metric."""
    return fault(f"metrics: {{{name}: {{{body}}}}}").removeprefix(f"metrics.{name}")
