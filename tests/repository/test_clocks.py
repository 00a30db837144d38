"""No test looks at a clock: how fast a machine is today says nothing of the code.

What a test protects is counted: calls, pairs, bytes, sweeps, modules, requests, answers. Seconds
are for ``benchmarks/``. A timeout ends what hangs, and is never what passes or fails otherwise.
"""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]

# Python's clocks and pauses, those of a browser, and the seconds that our own results report.
CLOCKS = re.compile(
    r"\bimport time\b|\bfrom time import\b|\btimeit\b|\bdatetime\b|\bru_[us]time\b|\bos\.times\b"
    r"|\b(perf_counter|process_time|thread_time|monotonic|time_ns|sleep)(_ns)?\("
    r"|\bperformance\.now\b|\bDate\.now\b|\bnew Date\b|\bwait_for_timeout\b|\.seconds\b"
)


def looks_at(text: str) -> list[str]:
    """Where a text looks at a clock, as it is written there."""
    return [found.group() for found in CLOCKS.finditer(text)]


def test_no_test_looks_at_a_clock():
    files = [f for kind in ("*.py", "*.mjs") for f in TESTS.rglob(kind) if f != Path(__file__)]
    assert len(files) > 50
    found = {str(file.relative_to(TESTS)): looks_at(file.read_text()) for file in files}
    assert not {name: clocks for name, clocks in found.items() if clocks}


def test_clocks_are_recognised():
    for text in (
        "import time\n",
        "from time import monotonic",
        "start = t.perf_counter()",
        "time.process_time_ns()",
        "const start = performance.now();",
        "page.wait_for_timeout(500)",
        "assert report.seconds < 1",
    ):
        assert looks_at(text), text
    assert not looks_at('ax.set_xlabel("time"); page.wait_for_function(DONE, timeout=60_000)')
