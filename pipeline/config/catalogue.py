"""The built-in catalogue as metrics: ``analyzers/catalogue.yml``, read like any policy."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from analyzers.policy import Metric
from pipeline.config.document import read
from pipeline.config.faults import ConfigError, Faults
from pipeline.config.fields import Place, named_sections
from pipeline.config.metric_keys import METRIC_KEYS
from pipeline.config.metrics import metric

CATALOGUE_MAX: Final = 200


@cache
def catalogue() -> tuple[Metric, ...]:
    """Every metric that plimsoll knows without a policy, in the order of the file.

    ``ConfigError`` if the installed file has been damaged.
    """
    data = resources.files("analyzers").joinpath("catalogue.yml").read_bytes()
    faults = Faults()
    node = read(data, {}, faults)
    found: list[Metric] = []
    if node is not None:
        for name, here in named_sections(Place(node, "", faults), METRIC_KEYS, most=CATALOGUE_MAX):
            built = metric(name, here, given=None, known=(), named=False)
            if built is not None:
                found.append(built)
    if faults.found:
        raise ConfigError(faults.all(), source="analyzers/catalogue.yml")
    return tuple(found)
