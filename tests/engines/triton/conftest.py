"""Tests of the kernels run where Triton interprets them, in a process of their own."""

import os

collect_ignore = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["interpreted"]
