"""The adapters for Prometheus and OpenTelemetry: what they show is what the cache counts."""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from helpers import Running, program, run_program
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

import zoocache
from zoocache import cacheable, configure, invalidate, reset
from zoocache.telemetry import TelemetryManager
from zoocache.telemetry._core import families
from zoocache.telemetry.adapters.opentelemetry import OpenTelemetryAdapter
from zoocache.telemetry.adapters.prometheus import PrometheusAdapter

pytestmark = pytest.mark.memory_only("labels name the storage")

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def memory(fresh_cache):
    """Each test configures the cache that it needs."""
    reset()


@pytest.fixture
def registry():
    return CollectorRegistry()


def shown(text):
    """The samples of a scrape, as the official parser reads them."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
        return reply.read().decode()


def total(samples, name):
    return sum(value for (sample, *_), value in samples.items() if sample == name)


def work():
    """Give the cache something to count."""

    @cacheable(deps=lambda x: [f"a:{x}"])
    def f(x):
        return x

    for x in (1, 2, 3, 1, 1):
        f(x)
    invalidate("a:1")
    f(1)
    zoocache.set("k", 1)
    zoocache.get("k")
    zoocache.get("absent")
    return f


class TestPrometheus:
    def test_shows_what_stats_tells(self, registry):
        configure(telemetry=TelemetryManager([PrometheusAdapter(registry=registry)]))
        f = work()
        samples, stats = shown(generate_latest(registry).decode()), zoocache.stats()
        assert samples["zoocache_cache_hits_total", ("storage", "memory")] == stats["hits"] == 3
        for cause, name in (("absent", "misses"), ("stale", "stale"), ("expired", "expired")):
            key = "zoocache_cache_misses_total", ("cause", cause), ("storage", "memory")
            assert samples[key] == stats[name]
        assert total(samples, "zoocache_cache_misses_total") == 5
        assert samples["zoocache_cache_invalidations_total", ("storage", "memory")] == 1
        assert samples["zoocache_cache_entries", ("storage", "memory")] == stats["entries"] == 4
        function = ("function", f"{__name__}.{f.__qualname__}")
        assert samples["zoocache_function_hits_total", function, ("storage", "memory")] == 2
        fills = {
            key: value for key, value in samples.items() if key[0] == "zoocache_cache_fill_seconds_bucket"
        }
        counts = [
            value for _, value in sorted(fills.items(), key=lambda item: float(dict(item[0][1:])["le"]))
        ]
        assert counts == sorted(counts)
        assert counts[-1] == samples["zoocache_cache_fill_seconds_count", ("storage", "memory")] == 4

    def test_everything_counted_is_shown_as_what_it_is(self, registry):
        configure(telemetry=TelemetryManager([PrometheusAdapter(registry=registry)]))
        work()
        parsed = {
            family.name: family
            for family in text_string_to_metric_families(generate_latest(registry).decode())
        }
        # In memory there are no trips.
        trips = {"cache_storage_read_seconds", "cache_storage_write_seconds", "cache_bus_lag_seconds"}
        expected = {f"zoocache_{name.removesuffix('_total')}": family for name, family in families().items()}
        assert parsed.keys() == expected.keys() - {f"zoocache_{name}" for name in trips}
        for name, family in parsed.items():
            assert (family.type, family.documentation) == (expected[name].kind, expected[name].help)

    def test_openmetrics(self, registry):
        configure(telemetry=TelemetryManager([PrometheusAdapter(registry=registry)]))
        work()
        parsed = list(parse_openmetrics(generate_openmetrics(registry).decode()))
        assert any(
            sample.name == "zoocache_cache_hits_total" for family in parsed for sample in family.samples
        )

    def test_hostile_names_of_functions(self, registry):
        configure(telemetry=TelemetryManager([PrometheusAdapter(registry=registry)]))

        def f():
            return 1

        f.__qualname__ = 'f"}\n# HELP evil\\'
        cacheable(f)()
        samples = shown(generate_latest(registry).decode())
        function = ("function", f"{__name__}.{f.__qualname__}")
        assert (
            samples["zoocache_function_misses_total", ("cause", "absent"), function, ("storage", "memory")]
            == 1
        )

    def test_over_http(self, registry):
        adapter = PrometheusAdapter(port=0, registry=registry)
        configure(telemetry=TelemetryManager([adapter]))
        work()
        assert shown(scraped(adapter.port))["zoocache_cache_hits_total", ("storage", "memory")] == 3
        reset()
        with pytest.raises(OSError, match="refused"):
            scraped(adapter.port)

    def test_a_port_in_use_leaves_nothing_behind(self, registry):
        first = PrometheusAdapter(port=0, registry=CollectorRegistry())
        with pytest.raises(OSError, match="in use"):
            PrometheusAdapter(port=first.port, registry=registry)
        PrometheusAdapter(registry=registry).close()
        first.close()
        first.close()

    def test_two_with_one_prefix_are_refused(self, registry):
        first = PrometheusAdapter(registry=registry)
        with pytest.raises(ValueError, match="prefix='zoocache' are in this registry already"):
            PrometheusAdapter(registry=registry)
        second = PrometheusAdapter(registry=registry, prefix="other")
        first.close()
        PrometheusAdapter(registry=registry)
        second.increment("a")
        assert registry.get_sample_value("other_a_total") == 1

    @pytest.mark.parametrize("wrong", ["", "1a", "a-b", "a b", "é"])
    def test_a_prefix_must_be_a_name(self, registry, wrong):
        with pytest.raises(ValueError, match="prefix must be a name"):
            PrometheusAdapter(prefix=wrong, registry=registry)

    def test_several_caches_are_added_up(self, registry):
        manager = TelemetryManager([PrometheusAdapter(registry=registry)])
        with zoocache.Cache(telemetry=manager) as one, zoocache.Cache(telemetry=manager) as two:
            for cache in (one, two, two):
                cache.get("k")
            samples = shown(generate_latest(registry).decode())
            assert samples["zoocache_cache_misses_total", ("cause", "absent"), ("storage", "memory")] == 3
        assert not generate_latest(registry)

    def test_direct_calls(self, registry):
        adapter = PrometheusAdapter(registry=registry)
        adapter.increment("hits", 2.0, {"tag": "val"})
        adapter.increment("hits", labels={"tag": "val"})
        adapter.increment("jobs-done_total")
        adapter.increment("jobs_done")
        adapter.increment("1st", labels={"a-b": "c"})
        adapter.set_gauge("depth", 3)
        adapter.set_gauge("depth", 2)
        adapter.observe("seconds", 0.5, {"a": "b"})
        adapter.observe("seconds", 100, {"a": "b"})
        value = registry.get_sample_value
        assert value("zoocache_hits_total", {"tag": "val"}) == 3
        assert value("zoocache_jobs_done_total") == 2
        assert value("zoocache__1st_total", {"a_b": "c"}) == 1
        assert value("zoocache_depth") == 2
        assert value("zoocache_seconds_count", {"a": "b"}) == 2
        assert value("zoocache_seconds_sum", {"a": "b"}) == 100.5
        assert value("zoocache_seconds_bucket", {"a": "b", "le": "+Inf"}) == 2
        assert value("zoocache_seconds_bucket", {"a": "b", "le": "0.524288"}) == 1
        assert list(text_string_to_metric_families(generate_latest(registry).decode()))

    def test_direct_calls_add_to_what_the_cache_counts(self, registry):
        adapter = PrometheusAdapter(registry=registry)
        configure(telemetry=TelemetryManager([adapter]))
        zoocache.get("k")
        adapter.increment("cache_misses_total", 5, {"cause": "absent", "storage": "memory"})
        labels = {"cause": "absent", "storage": "memory"}
        assert registry.get_sample_value("zoocache_cache_misses_total", labels) == 6

    def test_wrong_direct_calls(self, registry):
        adapter = PrometheusAdapter(registry=registry)
        adapter.increment("a")
        with pytest.raises(ValueError, match="the metric 'a_total' is a counter; a gauge needs another name"):
            adapter.set_gauge("a_total", 1)
        with pytest.raises(ValueError, match="a counter never falls, but value is -1"):
            adapter.increment("b", -1)

    def test_scrapes_while_the_cache_works(self, registry):
        adapter = PrometheusAdapter(registry=registry)
        configure(telemetry=TelemetryManager([adapter]))
        ended = threading.Event()

        def scrape():
            seen = []
            while not ended.is_set():
                seen.append(registry.get_sample_value("zoocache_cache_hits_total", {"storage": "memory"}))
            return seen

        scraper = Running(scrape)
        f = work()
        for _ in range(20_000):
            f(1)
        ended.set()
        seen = scraper.result()
        assert seen == sorted(seen)
        assert registry.get_sample_value("zoocache_cache_hits_total", {"storage": "memory"}) == 20_003

    def test_a_forked_worker_shows_its_own(self):
        shown = program(
            """
            import os
            import zoocache
            from prometheus_client import CollectorRegistry
            from zoocache.telemetry import TelemetryManager, LogAdapter
            from zoocache.telemetry.adapters.prometheus import PrometheusAdapter
            registry = CollectorRegistry()
            adapter = PrometheusAdapter(port=0, registry=registry)
            zoocache.configure(telemetry=TelemetryManager([adapter, LogAdapter()]))
            zoocache.get("k")
            pid = os.fork()
            if pid == 0:
                zoocache.get("k")
            labels = {"cause": "absent", "storage": "memory"}
            shown = registry.get_sample_value("zoocache_cache_misses_total", labels)
            os.write(1, f"{shown}\\n".encode())
            if pid:
                assert os.waitpid(pid, 0)[1] == 0
            zoocache.reset()
            """,
            "-W",
            "ignore::DeprecationWarning",  # of a fork beside threads, which is what this is about
        )
        assert sorted(shown.split()) == ["1", "2"]


class TestExample:
    def test_a_scrape_of_the_store_says_what_the_store_says(self):
        command = [sys.executable, "-u", str(ROOT / "examples/store"), "--reads", "1500", "--metrics", "0"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as store:  # noqa: S603 - our own
            port = int(
                re.fullmatch(r"metrics: http://127\.0\.0\.1:(\d+)/metrics\n", store.stdout.readline())[1]
            )
            running = []
            lines = []

            def read():
                lines.extend(iter(store.stdout.readline, "press Enter to end\n"))

            reader = threading.Thread(target=read)
            reader.start()
            while reader.is_alive():
                running.append(shown(scraped(port)))
                reader.join(0.02)
            at_its_end = shown(scraped(port))
            store.communicate("\n", timeout=60)
            assert store.returncode == 0
        counted = re.search(r"counted: (\d+) hits, (\d+) misses, (\d+) invalidations", "".join(lines))
        hits, misses, invalidations = map(int, counted.groups())
        assert hits > 1000
        assert total(at_its_end, "zoocache_cache_hits_total") == hits
        assert total(at_its_end, "zoocache_cache_misses_total") == misses
        assert total(at_its_end, "zoocache_cache_invalidations_total") == invalidations
        seen = [total(samples, "zoocache_cache_hits_total") for samples in running]
        assert seen == sorted(seen)
        assert seen[-1] <= hits


def observed(reader):
    """What a reader of OpenTelemetry sees."""
    data = reader.get_metrics_data()
    points = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            assert scope.scope.name == "zoocache"
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    value = point.value if hasattr(point, "value") else point.count
                    points[(metric.name, *sorted(point.attributes.items()))] = value
    return points


@pytest.fixture
def reader():
    reader = InMemoryMetricReader()
    yield reader
    reader.shutdown()


@pytest.fixture
def provider(reader):
    return MeterProvider(metric_readers=[reader], shutdown_on_exit=False)


class TestOpenTelemetry:
    def test_shows_what_stats_tells(self, reader, provider):
        configure(telemetry=TelemetryManager([OpenTelemetryAdapter(meter_provider=provider)]))
        f = work()
        points, stats = observed(reader), zoocache.stats()
        assert points["cache_hits_total", ("storage", "memory")] == stats["hits"] == 3
        assert total(points, "cache_misses_total") == stats["misses"] + stats["stale"] + stats["expired"] == 5
        assert points["cache_entries", ("storage", "memory")] == stats["entries"]
        function = ("function", f"{__name__}.{f.__qualname__}")
        assert points["function_hits_total", function, ("storage", "memory")] == 2
        assert points["cache_fill_seconds_count", ("storage", "memory")] == 4
        assert points["cache_fill_seconds_bucket", ("le", "+Inf"), ("storage", "memory")] == 4
        assert 0 < points["cache_fill_seconds_sum", ("storage", "memory")] < 60
        f(1)
        assert observed(reader)["cache_hits_total", ("storage", "memory")] == 4

    def test_shows_nothing_after_the_end(self, reader, provider):
        configure(telemetry=TelemetryManager([OpenTelemetryAdapter(meter_provider=provider)]))
        zoocache.get("k")
        assert observed(reader)
        reset()
        assert not observed(reader)

    def test_direct_calls(self, reader, provider):
        adapter = OpenTelemetryAdapter(meter_provider=provider)
        adapter.increment("hits", 2.0, {"tag": "val"})
        adapter.increment("hits", labels={"tag": "val"})
        adapter.set_gauge("depth", 2)
        adapter.observe("seconds", 0.5)
        adapter.increment("cache_hits_total", 5, {"storage": "memory"})
        adapter.set_gauge("cache_entries", 7)
        adapter.observe("cache_fill_seconds", 1)
        points = observed(reader)
        assert points["hits", ("tag", "val")] == 3
        assert (points["depth",], points["seconds",], points["cache_entries",]) == (2, 1, 7)
        assert points["cache_hits_total", ("storage", "memory")] == 5
        assert points["cache_fill_seconds_sum",] == 1

    def test_without_a_provider_the_global_one_is_asked(self):
        adapter = OpenTelemetryAdapter()
        configure(telemetry=TelemetryManager([adapter]))
        work()
        adapter.increment("hits")

    def test_an_endpoint_and_a_provider_are_refused(self, provider):
        with pytest.raises(ValueError, match="otlp_endpoint has no meaning with a meter_provider"):
            OpenTelemetryAdapter(otlp_endpoint="http://127.0.0.1:1/v1/metrics", meter_provider=provider)

    def test_sends_to_an_endpoint_at_the_end(self):
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415
            ExportMetricsServiceRequest,
        )

        received = []

        class Collector(BaseHTTPRequestHandler):
            def do_POST(self):
                request = ExportMetricsServiceRequest()
                request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
                received.append(request)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        with HTTPServer(("127.0.0.1", 0), Collector) as server:
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            endpoint = f"http://127.0.0.1:{server.server_port}/v1/metrics"
            adapter = OpenTelemetryAdapter("shop", otlp_endpoint=endpoint)
            with zoocache.Cache(telemetry=TelemetryManager([adapter])) as cache:
                cache.get("k")
            server.shutdown()
            serving.join()
        (resource,) = received[-1].resource_metrics
        attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
        assert attributes["service.name"] == "shop"
        sums = {
            metric.name: sum(point.as_int for point in metric.sum.data_points)
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
        assert sums["cache_misses_total"] == 1


class TestSpans:
    @pytest.fixture
    def spans(self):
        exporter = InMemorySpanExporter()
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(exporter))
        self.tracer = tracers.get_tracer("test")
        self.adapter = OpenTelemetryAdapter(spans=True, tracer_provider=tracers)
        return exporter

    def configure(self, **settings):
        configure(telemetry=TelemetryManager([self.adapter]), **settings)

    def test_a_computation_is_one_and_a_hit_is_none(self, spans):
        self.configure()

        @cacheable
        def f():
            with self.tracer.start_as_current_span("query"):
                return 1

        f()
        f()
        query, fill = spans.get_finished_spans()
        assert (query.name, fill.name) == ("query", "zoocache.fill")
        assert query.parent.span_id == fill.context.span_id
        assert dict(fill.attributes) == {"zoocache.function": f"{__name__}.{f.__qualname__}"}

    def test_async_ones_too(self, spans):
        self.configure()

        @cacheable
        async def f(x):
            with self.tracer.start_as_current_span("query"):
                await asyncio.sleep(0)
                return x

        async def calls():
            with self.tracer.start_as_current_span("request"):
                await asyncio.gather(f(1), f(2), f(1))
                assert trace.get_current_span().name == "request"

        asyncio.run(calls())
        ended = spans.get_finished_spans()
        fills = {span.context.span_id: span for span in ended if span.name == "zoocache.fill"}
        (request,) = [span for span in ended if span.name == "request"]
        assert len(fills) == 2
        assert {span.parent.span_id for span in ended if span.name == "query"} == fills.keys()
        assert {span.parent.span_id for span in fills.values()} == {request.context.span_id}

    def test_an_exception_is_noted_and_passes(self, spans):
        self.configure()

        @cacheable
        def f():
            raise ValueError("no")

        with pytest.raises(ValueError, match=r"^no$"):
            f()
        (fill,) = spans.get_finished_spans()
        assert not fill.status.is_ok
        assert fill.events[0].name == "exception"

    def test_waits_for_a_server_are_some(self, spans, redis_server):
        # Not so short that a machine that stands still makes the hit below ask the server.
        self.configure(storage_url=redis_server.url, max_staleness="1m")

        @cacheable(deps=["a"])
        def f(x):
            return x

        @cacheable(deps=["a"])
        async def g(x):
            return x

        f(1)
        for _ in range(10):
            with self.tracer.start_as_current_span("hit"):
                f(1)
        asyncio.run(g(1))
        invalidate("a")
        names = [span.name for span in spans.get_finished_spans()]
        assert names.count("zoocache.fill") == 2
        assert names.count("zoocache.storage") >= 4
        for span in spans.get_finished_spans():
            assert span.start_time <= span.end_time
        hits = [span.context for span in spans.get_finished_spans() if span.name == "hit"]
        # When it has just subscribed to what happens there, it asks once what happened before.
        assert len([span for span in spans.get_finished_spans() if span.parent in hits]) <= 1
        reset()

    def test_a_broken_tracer_breaks_nothing(self, caplog):
        class Broken(OpenTelemetryAdapter):
            def span(self, name, function):
                raise RuntimeError

        class Odd(OpenTelemetryAdapter):
            @contextlib.contextmanager
            def span(self, name, function):
                yield
                raise RuntimeError

        adapters = [Broken(spans=True), Odd(spans=True)]
        configure(telemetry=TelemetryManager(adapters))

        @cacheable
        def f(x):
            if x > 1:
                raise ValueError
            return x

        assert f(1) == 1
        with pytest.raises(ValueError, match=r"^$"):
            f(2)
        assert {record.args[0].rpartition(".")[2] for record in caplog.records} == {"Broken", "Odd"}


@pytest.mark.parametrize(
    ("module", "package", "needed"),
    [
        ("prometheus", "prometheus_client", "prometheus-client"),
        ("opentelemetry", "opentelemetry", "opentelemetry-api"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(module, package, needed):
    done = run_program(
        f"""
        import sys
        sys.modules[{package!r}] = None
        import zoocache.telemetry.adapters.{module}
        """
    )
    assert done.returncode == 1
    assert f"zoocache.telemetry.adapters.{module} needs {needed}" in done.stderr
    assert f"pip install 'zoocache[{module}]'" in done.stderr


def test_who_has_no_telemetry_imports_none():
    program(
        """
        import sys, zoocache
        zoocache.configure()
        zoocache.get("k")
        zoocache.reset()
        unneeded = ("zoocache.telemetry", "opentelemetry", "prometheus")
        assert not [name for name in sys.modules if name.startswith(unneeded)]
        """
    )


@pytest.fixture
def exported():
    names = set()
    for name, family in families().items():
        if family.kind == "histogram":
            names |= {f"zoocache_{name}_{part}" for part in ("bucket", "sum", "count")}
        else:
            names.add(f"zoocache_{name}")
    return names


class TestFiles:
    """The dashboard and the alerts ask for metrics that there are."""

    def check(self, query, exported):
        asked = set(re.findall(r"\bzoocache_\w+", query))
        assert asked, query
        assert asked <= exported, asked - exported
        labels = set(re.findall(r"\bby \(([^)]*)\)", query))
        used = {label.strip() for group in labels for label in group.split(",")}
        assert used <= {"function", "storage", "cause", "le", "instance", "job"}
        assert query.count("(") == query.count(")")

    def test_dashboard(self, exported):
        dashboard = json.loads((ROOT / "docs/grafana.json").read_text(encoding="utf-8"))
        assert dashboard["title"] == "zoocache"
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels) >= 8
        for panel in panels:
            assert panel["title"]
            assert panel["type"] in {"timeseries", "stat"}
            assert panel["gridPos"].keys() == {"h", "w", "x", "y"}
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["targets"]
            for target in panel["targets"]:
                assert target["legendFormat"]
                self.check(target["expr"], exported)
        places = [
            (x, y)
            for panel in panels
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(places) == len(set(places)), "panels overlap"

    def test_alerts(self, exported):
        yaml = pytest.importorskip("yaml")
        rules = yaml.safe_load((ROOT / "docs/prometheus-alerts.yml").read_text(encoding="utf-8"))
        alerts = [rule for group in rules["groups"] for rule in group["rules"]]
        assert len({rule["alert"] for rule in alerts}) == len(alerts) >= 5
        for rule in alerts:
            assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
            assert re.fullmatch(r"\d+[smh]", rule["for"])
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert rule["annotations"].keys() == {"summary", "description"}
            self.check(rule["expr"], exported)

    def test_the_page_names_every_metric(self, exported):
        page = (ROOT / "docs/telemetry.md").read_text(encoding="utf-8")
        for name in families():
            assert f"`{name}`" in page, name
