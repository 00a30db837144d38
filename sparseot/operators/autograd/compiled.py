"""A public function as one operator, into which ``torch.compile`` does not look.

In a graph stands ``sparseot::call``, with the tensors and the name of the call (:mod:`.packed`). When it
runs, it calls the function itself, eagerly, with its autograd graph; what the backward pass needs is
held for as long as the graph holds the key that the operator returned beside its results.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from itertools import count
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import bad_input
from .packed import Arguments, call_of, pack, remember

__all__ = ["eager_methods", "eagerly", "one_operator"]

P = ParamSpec("P")
R = TypeVar("R")
Results = Tensor | tuple[Tensor, ...]
AUTOGRAD = ("AutogradFunctionality", "AutogradOther", "AutogradNestedTensor", "ADInplaceOrView")
# what is called waits for the device, and is no part of a recording
TAGS: Any = {"tags": [torch.Tag.cudagraph_unsafe]} if hasattr(torch.Tag, "cudagraph_unsafe") else {}

_doors: dict[str, tuple[Callable[..., Results], Callable[..., Results]]] = {}
_states: dict[int, tuple[list[Tensor], list[Tensor]]] = {}  # of calls whose backward pass may come
_keys = count()


def one_operator(
    shapes: Callable[..., Results], reads: Sequence[str] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The function, one operator for ``torch.compile``.

    Args:
        shapes: of the same arguments, empty tensors of the shapes and dtypes of the results.
        reads: attributes of the first argument on which these depend.

    Not compiled, the function is called as it is. Compiled, it is called when the graph runs, with the
    values that all options had when the program was read (a change of them is another program), but for
    modules and matrices, whose state is that of the moment. Results are tensors of memory of their own.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        door = function.__qualname__
        _doors[door] = function, shapes  # type: ignore[assignment]

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if not torch.compiler.is_compiling():
                return function(*args, **kwargs)
            tensors: list[Tensor] = []
            constants: list[Any] = []
            read = tuple([getattr(args[0], name) for name in reads])
            structure = pack((args, kwargs, read), tensors, constants)
            if not tensors or any(
                t.is_nested for t in tensors
            ):  # arrays; operators take no nested ones
                return torch.compiler.disable(function)(*args, **kwargs)
            name = remember(door, structure, *constants)
            graph = torch.is_grad_enabled()
            need = [graph and t.requires_grad for t in tensors]
            *found, _ = torch.ops.sparseot.call(tensors, name, need, graph)
            return found[0] if len(found) == 1 else tuple(found)  # type: ignore[return-value]

        return run

    return decorate


def eagerly(function: Callable[P, R]) -> Callable[P, R]:
    """The function, for which compiled code breaks its graph: it returns what is no tensor."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)
        return function(*args, **kwargs)

    return run


def eager_methods(cls: type[R]) -> type[R]:
    """The class, whose methods compiled code calls eagerly, and those of its bases in one package."""
    package = cls.__module__.rpartition(".")[0]
    for kind in cls.__mro__:
        if kind.__module__.startswith(f"{package}."):
            for name, method in list(vars(kind).items()):
                if isinstance(method, FunctionType):
                    setattr(kind, name, eagerly(method))
    return cls


@torch.library.custom_op("sparseot::call", mutates_args=(), **TAGS)
def call(tensors: Sequence[Tensor], name: str, need: Sequence[bool], graph: bool) -> list[Tensor]:
    """The results of a call, and a key to what its backward pass needs.

    With ``graph`` the caller would have had one, though none of these tensors may need it.
    """
    key = np.array([next(_keys)])
    if any(need):
        with _autograd():
            leaves, found = _run(tensors, name, need)
        _states[int(key[0])] = leaves, found
        # the memory of the tensor is the array's, which lives as long as anything refers to it
        weakref.finalize(key, _states.pop, int(key[0]), None).atexit = False
    else:
        with _autograd() if graph else torch.no_grad():
            _, found = _run(tensors, name, need)
    return [*(_own(t) for t in found), torch.from_numpy(key)]


@call.register_fake
def _(tensors: Sequence[Tensor], name: str, need: Sequence[bool], graph: bool) -> list[Tensor]:
    one = call_of(name)
    arguments = Arguments(one, tensors, hollow=True)
    found = _doors[one.door][1](*arguments.args, **arguments.kwargs)
    found = found if isinstance(found, tuple) else (found,)
    return [*found, torch.empty(1, dtype=torch.int64)]


@torch.library.custom_op("sparseot::call_backward", mutates_args=(), **TAGS)
def call_backward(
    tensors: Sequence[Tensor],
    key: Tensor,
    cotangents: Sequence[Tensor],
    places: Sequence[int],
    name: str,
    need: Sequence[bool],
) -> list[Tensor]:
    """The products of cotangents with the derivatives of the results at these places."""
    with _autograd():
        # a copy of the key, as offloading makes them, has no state: then the call is made again
        leaves, found = _states.get(int(key)) or _run(tensors, name, need)
        asked = [leaf for leaf, needed in zip(leaves, need, strict=True) if needed]
        given = [(found[k], g) for k, g in zip(places, cotangents, strict=True)]
        given = [(t, g) for t, g in given if t.requires_grad]
        if not given:
            return [torch.zeros_like(leaf) for leaf in asked]
        results, moved = zip(*given, strict=True)
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        gradients = torch.autograd.grad(results, asked, moved, **options)
    return [_own(t) for t in gradients]


@call_backward.register_fake
def _(tensors, key, cotangents, places, name, need):  # type: ignore[no-untyped-def]
    return [t.new_empty(t.shape) for t, needed in zip(tensors, need, strict=True) if needed]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    tensors, ctx.name, *_ = inputs
    ctx.save_for_backward(*tensors, output[-1])


def _backward(
    ctx: Any, cotangents: list[Tensor | None]
) -> tuple[list[Tensor | None], None, None, None]:
    *tensors, key = ctx.saved_tensors
    need = [bool(needed) for needed in ctx.needs_input_grad[0]]
    places = [k for k, g in enumerate(cotangents[:-1]) if g is not None]
    if not places:
        return [None] * len(need), None, None, None
    given = [cotangents[k] for k in places]
    found = iter(torch.ops.sparseot.call_backward(tensors, key, given, places, ctx.name, need))
    return [next(found) if needed else None for needed in need], None, None, None


call.register_autograd(_backward, setup_context=_keep)


@contextmanager
def _autograd() -> Iterator[None]:
    """Inside, torch builds graphs, which it does not where it runs an operator."""
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        for key in AUTOGRAD:
            key = getattr(torch._C.DispatchKey, key)
            stack.enter_context(torch._C._SetExcludeDispatchKeyGuard(key, False))
        yield


def _run(
    tensors: Sequence[Tensor], name: str, need: Sequence[bool]
) -> tuple[list[Tensor], list[Tensor]]:
    """What derivatives are taken in, and the results of a call, with their graph."""
    one = call_of(name)
    leaves = [t.detach().requires_grad_(n) for t, n in zip(tensors, need, strict=True)]
    arguments = Arguments(one, leaves)
    for k, t in arguments.held.items():
        if all(t is not leaf for leaf in leaves):  # a matrix of one cloud has it in two places
            leaves[k] = t
    found = _called(_doors[one.door][0], arguments)
    results = list(found) if isinstance(found, tuple) else [found]
    if torch.is_grad_enabled():
        _refuse_hidden(results, leaves)
    return leaves, results


class _Bound(nn.Module):
    """A call as a module, of which the modules among its arguments are parts."""

    def __init__(self, function: Callable[..., Results], arguments: Arguments) -> None:
        super().__init__()
        self.call = function, arguments
        self.parts = nn.ModuleList(module for module, _ in arguments.modules)

    def forward(self) -> Results:
        function, arguments = self.call
        return function(*arguments.args, **arguments.kwargs)


def _called(function: Callable[..., Results], arguments: Arguments) -> Results:
    """The call, with modules whose parameters are the tensors of this call."""
    parameters: dict[str, Tensor] = {}
    for k, (module, tensors) in enumerate(arguments.modules):
        if all(module is not other for other, _ in arguments.modules[:k]):
            parameters |= {f"parts.{k}.{name}": t for name, t in tensors.items()}
    if not parameters:
        return function(*arguments.args, **arguments.kwargs)
    found: Results = torch.func.functional_call(_Bound(function, arguments), parameters, ())
    return found


def _refuse_hidden(results: Sequence[Tensor], leaves: Sequence[Tensor]) -> None:
    """Raises RuntimeError where a function brought a tensor whose gradient would be lost."""
    known, seen = {id(leaf) for leaf in leaves}, {leaf.grad_fn for leaf in leaves}
    nodes = [t.grad_fn for t in results]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes.extend(following for following, _ in node.next_functions)
        variable = getattr(node, "variable", None)
        if variable is not None and id(variable) not in known:
            raise bad_input(
                "torch.compile",
                f"a function or a loss that holds a tensor {tuple(variable.shape)} with a gradient",
                "one whose tensors are arguments",
                "Make it a torch.nn.Module, and the tensor a parameter of it; or call it outside of "
                "compiled code.",
                RuntimeError,
            )


def _own(t: Tensor) -> Tensor:
    """The same numbers in memory that nothing else refers to."""
    return t.detach().clone(memory_format=torch.contiguous_format)
