"""``python -m sparseot.command solve``: transport between points in files, by one process or by all that torchrun started.

Nothing but names of files and numbers goes in, and files come out, so that nobody has to write a program of
several processes. Every process reads and writes its own rows.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from ..engines.ranks.group import Ranks
from ..errors import bad_input
from .shards import Shards, part_of, write_json, write_rows

__all__ = ["main"]

NOT_MET, REFUSED, STOPPED = 1, 2, 130  # codes, beside zero
EPILOG = """\
x and y are .npy files of shape (N, D) and (M, D), folders of such files, or quoted patterns ('x-*.npy'); rows of
several files follow one another in alphabetical order. In the folder of --out are written, a file for each process,
  potential_a, potential_b   dual potentials of the rows of x and of y
  map_a, map_b               barycentric images of x among y, and of y among x
and plan.json, which tells the value, its bounds, and which rows are in which file.

on one machine:     python -m sparseot.command solve x.npy y.npy --blur 0.01 --out plan/
by four processes:  torchrun --nproc-per-node 4 -m sparseot.command solve x.npy y.npy --blur 0.01 --out plan/

exit code 0: solved; 1: written, but the tolerance is not met; 2: an error, told in one sentence; 130: interrupted twice, or by
torchrun. torchrun itself ends with 1 where a process does not end with 0, and adds a report of its own: scripts read
"converged" in plan.json."""


def main(words: list[str]) -> int:
    """Runs the command; the exit code."""
    options = _parser().parse_args(words)
    rank, size = (int(os.environ.get(name, k)) for k, name in enumerate(("RANK", "WORLD_SIZE")))
    group = None
    if size > 1:
        how = timedelta(minutes=options.timeout)
        torch.distributed.init_process_group("gloo", timeout=how)
        group = torch.distributed.group.WORLD
    ranks = None if group is None else Ranks(group, "sparseot solve")
    try:
        with nullcontext() if ranks is None else ranks.together():
            return _run(options, rank, size, group, ranks)
    except KeyboardInterrupt:
        print(
            "sparseot solve: interrupted; the same command with --resume goes on.", file=sys.stderr
        )
        return STOPPED
    except (ValueError, TypeError, RuntimeError, OSError, MemoryError) as error:
        if rank == 0 or ranks is None or ranks.lost:
            print(f"sparseot solve: {error}", file=sys.stderr, flush=True)
        return REFUSED
    finally:
        if group is not None and not (ranks and ranks.lost):
            torch.distributed.destroy_process_group()


def _run(options: Any, rank: int, size: int, group: Any, ranks: Ranks | None) -> int:
    from .. import Sinkhorn, solve_sample  # here: the package imports nothing of a command

    where = {"x": options.x, "y": options.y, "a": options.a, "b": options.b}
    shards = {name: Shards.of(name, path) for name, path in where.items() if path is not None}
    for name, points in (("a", "x"), ("b", "y")):
        if name in shards and len(shards[name]) != len(shards[points]):
            got = f"{len(shards[name]):,} weights"
            raise bad_input(name, got, f"{len(shards[points]):,}, one for each row of {points}")
    rows = {name: part_of(len(found), rank, size) for name, found in shards.items()}
    given: dict[str, Any] = {name: found.read(rows[name]) for name, found in shards.items()}
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "checkpoint"
    solver = Sinkhorn(
        max_sweeps=options.max_sweeps,
        progress=rank == 0 and not options.quiet,
        checkpoint=str(kept),
    )
    init = str(kept) if options.resume and any(kept.glob("*.npz")) else None
    how = {name: getattr(options, name) for name in ("blur", "p", "reach", "debias", "tol")}
    found = solve_sample(**given, **how, solver=solver, init=init, group=group)
    if rank == 0:
        print(found, flush=True)
    report = {
        name: float(getattr(found, name)) for name in ("value", "lower", "upper", "residual")
    }  # which all ranks compute together
    answers: dict[str, Any] = {"potential_a": found.potential_a, "potential_b": found.potential_b}
    if not options.no_maps:
        answers |= {"map_a": found.map(), "map_b": found.map(inverse=True)}
    files = {name: write_rows(out, name, values, rank, size) for name, values in answers.items()}
    mine = [
        {"rows": [rows[_cloud(name)].start, rows[_cloud(name)].stop], "file": file}
        for name, file in files.items()
    ]
    every = [mine] if ranks is None else ranks.every(mine)  # so all files are there
    told = {name: [part[k] for part in every] for k, name in enumerate(answers)}
    if rank == 0:
        sizes = {"points": [len(shards["x"]), len(shards["y"])], "dimension": given["x"].shape[1]}
        state = {"converged": bool(found.converged), "sweeps": found.n_iter, "processes": size}
        sources = {name: [str(file) for file in found.files] for name, found in shards.items()}
        write_json(
            out / "plan.json", report | state | how | sizes | {"sources": sources, "files": told}
        )
    return 0 if found.converged else NOT_MET


def _cloud(name: str) -> str:
    """Whose rows an answer has."""
    return "x" if name.endswith("a") else "y"


def _parser() -> argparse.ArgumentParser:
    how = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        "python -m sparseot.command", description="Transport between point clouds."
    )
    parser = top.add_subparsers(required=True, metavar="solve").add_parser(
        "solve",
        help="entropic transport between points in .npy files",
        description="Entropic transport between points in .npy files, by one process or many.",
        epilog=EPILOG,
        formatter_class=how,
    )
    parser.add_argument("x", help="points of the source")
    parser.add_argument("y", help="points of the target")
    parser.add_argument(
        "--blur", type=float, required=True, help="smoothing length, in the units of the points"
    )
    parser.add_argument(
        "--out", required=True, help="folder for what is found; made if there is none"
    )
    parser.add_argument("--a", help="weights of x, files as for points; 1/N by default")
    parser.add_argument("--b", help="weights of y; 1/M by default")
    parser.add_argument(
        "--p", type=int, default=2, choices=(1, 2), help="the cost is |x - y|^p / p (default: 2)"
    )
    parser.add_argument(
        "--reach", type=float, help="length above which mass is rather made than moved"
    )
    parser.add_argument(
        "--debias", action="store_true", help="less half of the cost of each cloud to itself"
    )
    parser.add_argument(
        "--tol", type=float, default=1e-3, help="error of the marginals (default: 1e-3)"
    )
    parser.add_argument(
        "--max-sweeps", type=int, default=2000, help="at the last temperature (default: 2000)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in the folder of --out"
    )
    parser.add_argument("--no-maps", action="store_true", help="write potentials only")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        help="minutes that processes wait for each other (default: 30)",
    )
    return top
