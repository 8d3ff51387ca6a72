"""The series of each service, numbered once: who compares them looks numbers up, not names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from analyzers.facts import Ints
from analyzers.folding.grouping import grouped, mixed
from analyzers.folding.series import Series, SeriesTable, coded

Service: TypeAlias = tuple[str, str]  # service and environment


class Known:
    """The series of one service in order of appearance; the place in ``series`` is the number."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self._number: dict[int, int] = {}
        self._variants: dict[tuple[object, ...], int] = {}  # all but the segment
        self._segments: dict[tuple[object, ...], int] = {}

    def numbers(self, table: SeriesTable, places: Ints) -> Ints:
        """The numbers (p,) of a table's series at some places; those not known yet get one."""
        *whole, segments = table.words
        codes = table.codes[:, places]
        keys = mixed(list(codes[:5]), [len(words) for words in whole])
        variants = grouped(keys.key, keys.end)
        names = [
            tuple(words[code] for words, code in zip(whole, one, strict=True))
            for one in zip(*(part.tolist() for part in keys.codes(variants.keys)), strict=True)
        ]
        within = grouped(codes[5], len(segments))
        parts = [segments[code] for code in within.keys.tolist()]
        variant, segment = _places(self._variants, names), _places(self._segments, parts)
        key = (variant[variants.of] << 32 | segment[within.of]).tolist()
        for place, one in zip(places.tolist(), key, strict=True):
            if one not in self._number:
                self._number[one] = len(self.series)
                self.series.append(table[place])
        return np.fromiter(map(self._number.__getitem__, key), np.int64, len(key))


@dataclass(frozen=True, slots=True)
class Heard:
    """What of some cells is a service's: ``places`` (p,) ascending of its series, and their
    ``numbers`` (p,) among those ``known``."""

    known: Known
    places: Ints
    numbers: Ints

    def totals(self) -> Heard:
        """Only those without a segment."""
        whole = [not self.known.series[number].segment for number in self.numbers.tolist()]
        return Heard(self.known, self.places[whole], self.numbers[whole])


class Names:
    """The known series of every service that is judged."""

    def __init__(self) -> None:
        self._known: dict[Service, Known] = {}

    def heard(self, series: Sequence[Series], wanted: Collection[Service]) -> dict[Service, Heard]:
        """The series of each wanted service that is there."""
        table = coded(series)
        environments, services = table.words[:2]
        keys = mixed(list(table.codes[:2]), [len(environments), len(services)])
        found = grouped(keys.key, keys.end)
        of_environment, of_service = keys.codes(found.keys)
        order = np.argsort(found.of, kind="stable")
        edges = np.searchsorted(found.of[order], np.arange(len(found) + 1)).tolist()
        heard: dict[Service, Heard] = {}
        for place, (environment, service) in enumerate(
            zip(of_environment.tolist(), of_service.tolist(), strict=True)
        ):
            name = (services[service], environments[environment])
            if name in wanted:
                known = self._known.setdefault(name, Known())
                places = order[edges[place] : edges[place + 1]]
                heard[name] = Heard(known, places, known.numbers(table, places))
        return heard

    def forget(self, service: Service) -> None:
        """Lets go of a service's names, which are numbered anew when they are heard again: those
        of old versions would pile up."""
        self._known.pop(service, None)


def _places(known: dict[tuple[object, ...], int], names: Sequence[tuple[object, ...]]) -> Ints:
    """The place of each name in order of appearance, from now on known."""
    return np.array([known.setdefault(name, len(known)) for name in names], np.int64)
