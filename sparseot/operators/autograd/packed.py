"""The arguments of a call as compiled code carries them: tensors, and a name for all the rest.

``torch.compile`` reads :func:`pack` as a part of the program, so that its guards see every option. What
a graph cannot hold, a function, a module, a matrix, stays here under a name (:func:`remember`), and is
put together with the tensors (:class:`Arguments`) when the graph runs.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import count
from types import CellType, FunctionType
from typing import Any

from torch import Tensor, nn

from ...errors import bad_input
from ...formulas import Radial
from ...pairs import BlockPairs

__all__ = ["Arguments", "Call", "call_of", "pack", "remember"]

Structure = Any  # a word, and the parts of what it means
PLAIN = (str, bool, type, type(None))


def pack(value: Any, tensors: list[Tensor], constants: list[Any]) -> Structure:
    """What a value is made of; its tensors and its constants are appended to the lists.

    A number that changes from call to call is a variable of compiled code; ``hex`` and ``index`` ask
    for the number itself.
    """
    if isinstance(value, Tensor):
        tensors.append(value)
        return "tensor", len(tensors) - 1
    if isinstance(value, float):
        return "float", value.hex()
    if isinstance(value, int) and not isinstance(value, bool):
        return "int", operator.index(value)
    if isinstance(value, (tuple, list)):
        kind = "list" if isinstance(value, list) else "tuple"
        return kind, _pack_all(value, tensors, constants)
    if isinstance(value, dict):
        return "dict", tuple(value), _pack_all(value.values(), tensors, constants)
    own = _own_tensors(value)
    if own is not None:
        tensors.extend(own.values())
        constants.append(value)
        return "owner", len(constants) - 1, tuple(own), len(tensors) - len(own)
    if hasattr(type(value), "__dataclass_fields__") and not isinstance(value, BlockPairs):
        fields = {name: getattr(value, name) for name in type(value).__dataclass_fields__}
        return "object", type(value), pack(fields, tensors, constants)
    if isinstance(value, FunctionType):
        return _pack_function(value, tensors, constants)
    constants.append(value)
    return "constant", len(constants) - 1


def _pack_all(
    values: Iterable[Any], tensors: list[Tensor], constants: list[Any]
) -> tuple[Structure, ...]:
    return tuple([pack(value, tensors, constants) for value in values])


def _pack_function(value: FunctionType, tensors: list[Tensor], constants: list[Any]) -> Structure:
    """A function, and what it holds: the cells of its closure, and its defaults."""
    k = len(constants)
    constants.append(value)
    try:
        held = [cell.cell_contents for cell in value.__closure__ or ()]
    except AttributeError:  # compiled code is making it
        repr(value)  # ends the graph where it holds tensors; after that, it is there
        return "constant", k
    inside = pack((held, value.__defaults__, value.__kwdefaults__), tensors, constants)
    return "function", k, inside


def _own_tensors(value: Any) -> dict[Any, Tensor] | None:
    """Those of an object that stays what it is: a module, a matrix, a kernel with a learnt length."""
    if isinstance(value, nn.Module):
        return dict(value.named_parameters())
    if isinstance(value, Radial):
        return None if value.watch is None or value.length is None else {"length": value.length}
    live = getattr(value, "live", None) if hasattr(type(value), "live") else None
    return None if live is None else dict(enumerate(live))


@dataclass(frozen=True)
class Call:
    """What a call is made of beside its tensors; of what has tensors of its own it keeps weak references."""

    door: str
    structure: Structure
    constants: tuple[Any, ...]

    def constant(self, k: int) -> Any:
        """One of the constants, if it lives."""
        found = self.constants[k]
        if not isinstance(found, weakref.ref):
            return found
        if (alive := found()) is None:
            got, fix = "compiled code that outlived what it was made of", "Compile it anew."
            raise bad_input("torch.compile", got, f"{self.door}'s arguments", fix, RuntimeError)
        return alive


class Arguments:
    """The arguments of a call, with tensors in their places; hollow ones have shapes and no numbers.

    Attributes:
        args, kwargs: those by place, and those by name.
        modules: the modules among them, each with the tensors that its parameters are in this call.
        held: the tensors that matrices and kernels were made of, by the number of the tensor which
            stands for them.
    """

    def __init__(self, call: Call, tensors: Sequence[Tensor], hollow: bool = False) -> None:
        self.call, self.tensors, self.hollow = call, tensors, hollow
        self.modules: list[tuple[nn.Module, dict[str, Tensor]]] = []
        self.held: dict[int, Tensor] = {}
        self.args, self.kwargs, _ = self._value(call.structure)

    def _value(self, structure: Structure) -> Any:
        kind, *rest = structure
        return getattr(self, f"_{kind}")(*rest)

    def _tensor(self, k: int) -> Tensor:
        return self.tensors[k]

    def _float(self, digits: str) -> float:
        return float.fromhex(digits)

    def _int(self, value: int) -> int:
        return value

    def _tuple(self, parts: Sequence[Structure]) -> tuple[Any, ...]:
        return tuple(self._list(parts))

    def _list(self, parts: Sequence[Structure]) -> list[Any]:
        return [self._value(part) for part in parts]

    def _dict(self, names: Sequence[str], parts: Sequence[Structure]) -> dict[str, Any]:
        return dict(zip(names, self._list(parts), strict=True))

    def _constant(self, k: int) -> Any:
        return self.call.constant(k)

    def _owner(self, k: int, names: Sequence[Any], start: int) -> Any:
        value = self.call.constant(k)
        if isinstance(value, nn.Module):
            tensors = self.tensors[start : start + len(names)]
            self.modules.append((value, dict(zip(names, tensors, strict=True))))
        else:
            own = _own_tensors(value) or {}
            self.held |= {start + i: own[name] for i, name in enumerate(names)}
        return value

    def _function(self, k: int, inside: Structure) -> FunctionType:
        known, (held, defaults, by_name) = self.call.constant(k), self._value(inside)
        cells = tuple(CellType(value) for value in held)
        made = FunctionType(known.__code__, known.__globals__, known.__name__, defaults, cells)
        made.__kwdefaults__ = by_name
        return made

    def _object(self, kind: type, fields: Structure) -> Any:
        made: Any = object.__new__(kind)
        for name, value in self._value(fields).items():
            object.__setattr__(made, name, value)  # it may be frozen
        learnt = isinstance(made, Radial) and made.length is not None and not self.hollow
        return made.at_length() if learnt else made


_calls: dict[str, Call] = {}
_known: dict[
    int, tuple[int, Callable[[], Any]]
] = {}  # numbers of objects by their id; who lives there
_numbers = count()


def remember(door: str, structure: Structure, *constants: Any) -> str:
    """A name for the call, the same for the same one; compiled code calls this once, and keeps the name.

    Names are the same in all processes that compile the same program: torch finds what it compiled
    earlier by the program's text. All that decides about shapes is in the name.
    """
    kept = tuple(weakref.ref(v) if _owns(v) else v for v in constants)
    said = [repr(v) if isinstance(v, PLAIN) else f"object {_serial(v)}" for v in constants]
    digest = sha256(repr((structure, said)).encode()).hexdigest()[:16]
    name = f"{door} {digest}"
    _calls[name] = Call(door, structure, kept)
    return name


# What torch.compiler.assume_constant_result does, which would import the compiler.
remember._dynamo_marked_constant = True  # type: ignore[attr-defined]


def call_of(name: str) -> Call:
    """The call of that name."""
    if name not in _calls:
        got, fix = f"a graph of another process, {name!r}", "Compile it in this one."
        raise bad_input(
            "torch.compile", got, "one that was read in this process", fix, RuntimeError
        )
    return _calls[name]


def _owns(value: Any) -> bool:
    """Whether an object has tensors of its own. What compiled code makes exists in that code alone."""
    owner = isinstance(value, nn.Module) or hasattr(type(value), "live")
    if owner and not vars(value):
        got, fix = f"a {type(value).__name__} made in compiled code", "Make it outside."
        raise bad_input("torch.compile", got, "one that was there before", fix, RuntimeError)
    return owner or (isinstance(value, Radial) and value.length is not None)


def _serial(value: Any) -> int:
    """A number of the object, by the order in which objects came."""
    number, alive = _known.get(id(value), (0, _nobody))
    if alive() is not value:
        number = next(_numbers)
        try:
            alive = weakref.ref(value)
        except TypeError:  # of something without tensors, which is kept
            alive = partial(_itself, value)
        _known[id(value)] = number, alive
    return number


def _nobody() -> None:
    return None


def _itself(value: Any) -> Any:
    return value
