"""Figures for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """`jobs` and `delegation` tell their figures when asked."""

    def __init__(self, jobs: Callable[[], int], delegation: Callable[[], bool]) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "samsesh_rtc_requests", "Requests answered", ["route", "status"], registry=registry
        )
        self._verification = Histogram(
            "samsesh_rtc_verification_seconds",
            "Time that homeservers took to confirm a token",
            buckets=SECONDS,
            registry=registry,
        )
        Gauge("samsesh_rtc_jobs", "Delegated leaves that are watched", registry=registry).set_function(jobs)
        Gauge("samsesh_rtc_delegation", "1 where leaves can be delegated", registry=registry).set_function(
            lambda: float(delegation())
        )

    def request(self, route: str, status: int) -> None:
        self._requests.labels(route, str(status)).inc()

    def verification(self, seconds: float) -> None:
        self._verification.observe(seconds)

    def page(self) -> bytes:
        return generate_latest(self._registry)
