"""Figures for Prometheus. They are counted here and become its format when asked: most servers never ask, and the
package takes a fifth of a start to load.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # upper bounds of the buckets


class Metrics:
    """`jobs` and `delegation` tell their figures when asked. A collector in the sense of prometheus_client."""

    def __init__(self, jobs: Callable[[], int], delegation: Callable[[], bool]) -> None:
        self._jobs = jobs
        self._delegation = delegation
        self._requests: Counter[tuple[str, str]] = Counter()  # by route and status
        self._verifications = [0] * (len(SECONDS) + 1)  # by bucket; the last is of those that took longer
        self._verification_seconds = 0.0

    def request(self, route: str, status: int) -> None:
        self._requests[route, str(status)] += 1

    def verification(self, seconds: float) -> None:
        place = next((at for at, bound in enumerate(SECONDS) if seconds <= bound), len(SECONDS))
        self._verifications[place] += 1
        self._verification_seconds += seconds

    def page(self) -> bytes:
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.metrics_core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        requests = CounterMetricFamily(
            "samsesh_rtc_requests", "Requests answered", labels=["route", "status"]
        )
        for labels, count in self._requests.items():
            requests.add_metric(labels, count)
        yield requests
        buckets, sum_ = [], 0
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self._verifications, strict=True):
            sum_ += count
            buckets.append((bound, float(sum_)))
        yield HistogramMetricFamily(
            "samsesh_rtc_verification_seconds",
            "Time that homeservers took to confirm a token",
            buckets=buckets,
            sum_value=self._verification_seconds,
        )
        yield GaugeMetricFamily("samsesh_rtc_jobs", "Delegated leaves that are watched", self._jobs())
        delegation = float(self._delegation())
        yield GaugeMetricFamily("samsesh_rtc_delegation", "1 if leaves can be delegated", delegation)
