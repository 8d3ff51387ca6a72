"""Untouched splits of a real distributor's orders, by customer, watched for 240 days: no metric is
called harmful more often than promised, whatever its kind and however its events cluster.

``python -m tests.calibration.test_wholesale FOLDER --salts 40`` prints what docs/MATH.md says of
more splits than a test has time for: six minutes for each share.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
import pytest

from analyzers.comparing.comparisons import Comparisons
from analyzers.facts import Column, Facts, concat
from analyzers.folding.cells import fold, merge
from analyzers.judging.evidence import Evidence, advance
from analyzers.policy import Kind, Margin, Measure, Metric, Policy
from analyzers.timeline import timeline
from tests.calibration.simulated import Rate
from tests.facts_of import NEW, OLD, facts_of, flow, metric_of, policy_of, started

pytestmark = pytest.mark.slow

ERROR_RATE: Final = 0.01
SHARES: Final = (0.5, 0.1)
SALTS: Final = 8  # all at once: each takes 5 s and a seventh of a gigabyte
LEVEL: Final = -np.log(ERROR_RATE)
Versions: TypeAlias = np.ndarray[tuple[int], np.dtype[np.str_]]
TENTH: Final = Margin(0.1, relative=True)


def amount(name: str, type_: str, worse: str) -> Metric:
    return metric_of(
        name, Kind.AMOUNT, Measure.VALUE, types=(type_,), worse=worse, margin=TENTH, quantum=0.01
    )


POLICY: Final[Policy] = policy_of(
    metric_of("kept", Kind.PROPORTION, Measure.OUTCOME, segments=(("country",),)),
    metric_of("lines kept", Kind.PROPORTION, Measure.OUTCOME, types=("line.sold",)),
    amount("order value", "order.submitted", "lower"),
    amount("order value, too high", "order.submitted", "higher"),
    amount("line value", "line.sold", "lower"),
    metric_of(
        "lines", Kind.DURATION, Measure.VALUE, types=("order.counted",), margin=TENTH, quantum=1.0
    ),
    metric_of(
        "value per order", Kind.RATIO, Measure.VALUE, types=("line.sold",), over="orders",
        margin=TENTH, worse="lower", quantum=0.01,
    ),
    metric_of("orders", Kind.COUNT, Measure.EVENTS, worse="lower"),
    flow(),
    error_rate=ERROR_RATE,
)  # fmt: skip


def orders(shared: Path) -> pd.DataFrame:
    """One row a line, by time, with whether its invoice was a cancellation."""
    found = sorted((shared / "uci_online_retail").glob("*.parquet"))
    if not found:
        pytest.skip("the orders of a distributor are not among the shared data")
    lines = pd.concat([pd.read_parquet(path) for path in found])
    lines = lines[lines.InvoiceDate < lines.InvoiceDate.min() + pd.Timedelta(days=240)]
    lines["value"] = (lines.Quantity.abs() * lines.UnitPrice).round(2)
    lines["bad"] = lines.InvoiceNo.str.startswith("C")
    lines["who"] = lines.CustomerID.astype("string").fillna(lines.InvoiceNo)
    ordered: pd.DataFrame = lines.sort_values("InvoiceDate", kind="stable").reset_index(drop=True)
    return ordered


def facts(lines: pd.DataFrame, version: Versions, first_id: int, type_: str) -> Facts:
    """One fact for each row."""
    times = (lines.InvoiceDate - lines.InvoiceDate.iloc[0]).dt.total_seconds().to_numpy()
    return facts_of(
        times + 60.0,
        types=type_,
        version=version.tolist(),
        outcome=np.where(lines.bad, "cancelled", "ok").tolist(),
        value=lines.value.to_numpy(np.float64),
        ids=np.arange(len(lines)) + first_id,
        subjects=pd.util.hash_array(lines.who.to_numpy(object)),
        attributes={"country": lines.Country.tolist()},
    )


def split(lines: pd.DataFrame, share: float, salt: int) -> Facts:
    """All lines and invoices, every customer on one side."""
    who = pd.util.hash_array(lines.who.to_numpy(object), hash_key=f"{salt:016d}")
    version = np.where(who < share * 2.0**64, NEW, OLD)
    first = ~lines.InvoiceNo.duplicated()
    invoices = lines[first].assign(
        value=lines.groupby("InvoiceNo").value.sum().reindex(lines.InvoiceNo[first]).to_numpy()
    )
    counted = invoices.assign(
        value=lines.groupby("InvoiceNo").size().reindex(lines.InvoiceNo[first]).to_numpy(float)
    )
    n = len(lines)
    return concat(
        [
            facts(lines, version, 1, "line.sold"),
            facts(invoices, version[first], n + 1, "order.submitted"),
            facts(counted, version[first], 2 * n + 1, "order.counted"),
        ]
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """How many of some splits were blamed, and by metric the largest log evidence of harm of each
    split that had any."""

    blamed: int
    tops: dict[str, list[float]]


def judged(lines: pd.DataFrame, share: float, salts: range) -> Judged:
    """Splits of all lines, each as if it were a service of its own, so that one table judges them
    side by side."""
    table = Comparisons()
    releases, told = [], []
    for salt in salts:
        name = f"order-api-{salt}"
        told.append(fold(renamed(split(lines, share, salt), name), (), POLICY, open_from=0))
        deployment = timeline([started(share=share, service=name, deployment=name)]).deployments[0]
        releases.append(Evidence(deployment, OLD, POLICY, table=table))
    advance(releases, table, merge(told))
    tops: dict[str, list[float]] = {metric.name: [] for metric in POLICY.metrics}
    for evidence in releases:
        for (metric, segment), one in evidence.comparisons.items():
            if not segment:
                tops[metric].append(one.log_harm_max)
    return Judged(sum(evidence.degraded_at is not None for evidence in releases), tops)


@pytest.mark.parametrize("share", SHARES)
def test_an_untouched_split_by_customer_is_blamed_no_more_often_than_promised(
    share: float, shared: Path
) -> None:
    found = judged(orders(shared), share, range(SALTS))
    blamed = Rate(found.blamed, SALTS)
    assert blamed.share <= blamed.allowed(ERROR_RATE)
    # A declared share of customers is none of orders, and what is silent is no metric of values.
    for name in sorted(found.tops.keys() - {"orders", "flow"}):
        tops = found.tops[name]
        assert len(tops) == SALTS, name
        crossed = Rate(sum(top >= LEVEL for top in tops), SALTS)
        assert crossed.share <= crossed.allowed(ERROR_RATE), (name, crossed)


def renamed(told: Facts, service: str) -> Facts:
    """The same facts of another service."""
    return replace(told, service=Column(told.service.codes, (service,)))


def main() -> None:
    """Prints, by share and metric, how many splits cross and the largest log evidence."""
    parser = argparse.ArgumentParser(description="Untouched splits of a distributor's orders.")
    parser.add_argument("folder", type=Path, help="holds uci_online_retail")
    parser.add_argument("--salts", type=int, default=40)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    given = parser.parse_args()
    if not (given.folder / "uci_online_retail").is_dir():
        parser.error(f"{given.folder} holds no uci_online_retail")
    lines = orders(given.folder)
    for share in given.shares:
        parts = [
            judged(lines, share, range(begin, min(begin + SALTS, given.salts)))
            for begin in range(0, given.salts, SALTS)
        ]
        blamed = sum(part.blamed for part in parts)
        print(f"canary {share:.0%}: {blamed} of {given.salts} splits blamed")  # noqa: T201
        for name in parts[0].tops:
            tops = [top for part in parts for top in part.tops[name]]
            crossed = sum(top >= LEVEL for top in tops)
            most = f", largest {max(tops):.1f}" if tops else ""
            print(f"  {name}: {crossed} of {len(tops)}{most}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
