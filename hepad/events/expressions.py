"""Expressions in a configuration: 'FatJet_pt * (1 - FatJet_rawFactor)' of branches, 'any(muons_pt > 22)' of objects.

An expression is parsed, not run as Python: numbers, names (also with dots: ``FatJet.PT``), + - * / ** %, comparisons,
& | ~ (or: and, or, not), ``x[0]`` (the first of each entry), ``x[:, :, 0]`` (places along the axes of an array) and the
functions in ``FUNCTIONS``. Everything else is refused, so that a configuration cannot reach further than the branches
of the file, or the objects of the event.

``& | ~`` combine truth values (:func:`truth`); with a whole number, ``flags & 4``, bits. Whole numbers and truth values
of any stored length are computed with in 64 bits (:func:`_wide`); what does not fit even there is refused.
"""

import ast
import operator
from collections.abc import Callable, Iterable, Mapping

import awkward as ak
import numpy as np

from hepad.errors import InputError


def truth(values):
    """Truth values, or numbers that stand for them, as bool: 1 is true, 0 and -1, which means not known, are not.

    InputError for other numbers.
    """
    array = values if isinstance(values, ak.Array) else np.asarray(values)
    numbers = np.asarray(ak.flatten(array, axis=None)) if isinstance(values, ak.Array) else array.reshape(-1)
    if numbers.dtype != bool and (wrong := ~np.isin(numbers, (-1, 0, 1))).any():
        raise InputError(
            f"{numbers[wrong][0]:g} is neither true (1) nor false (0, or -1 where it is not known). Compare it: x > 0."
        )
    return array == 1


FUNCTIONS: dict[str, Callable] = {
    name: getattr(np, name)
    for name in ("sqrt", "exp", "log", "log10", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsinh")
} | {
    "abs": np.abs,
    "arctan2": np.arctan2,
    "hypot": np.hypot,
    "sum": lambda x: ak.sum(x, axis=1),
    "max": lambda x: ak.fill_none(ak.max(x, axis=1), 0),
    "count": lambda x: ak.num(x, axis=1),
    "any": lambda x: ak.any(truth(x), axis=1),
    "where": lambda condition, x, y: ak.where(truth(condition), x, y),
}
ARGUMENTS = {"arctan2": 2, "hypot": 2, "where": 3}  # all others take 1; ufuncs would write into further ones
LONGEST = 10_000  # characters
# errors of numpy and awkward on values that do not fit
UNSUITABLE = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError)
OPERATORS = {
    ast.Add: lambda x, y: _fitting(operator.add, x, y), ast.Sub: lambda x, y: _fitting(operator.sub, x, y),
    ast.Mult: lambda x, y: _fitting(operator.mul, x, y), ast.Div: lambda x, y: operator.truediv(_wide(x), _wide(y)),
    ast.Pow: lambda x, y: operator.pow(_floating(x), _floating(y)),
    ast.Mod: lambda x, y: operator.mod(_wide(x), _wide(y)),
    ast.BitAnd: lambda x, y: _bits(operator.and_, x, y), ast.BitOr: lambda x, y: _bits(operator.or_, x, y),
    ast.And: lambda x, y: truth(x) & truth(y), ast.Or: lambda x, y: truth(x) | truth(y),
    ast.Not: lambda x: ~truth(x), ast.Invert: lambda x: ~truth(x),
    ast.USub: lambda x: _fitting(operator.neg, x), ast.UAdd: lambda x: operator.pos(_wide(x)),
    ast.Lt: lambda x, y: operator.lt(_wide(x), _wide(y)), ast.LtE: lambda x, y: operator.le(_wide(x), _wide(y)),
    ast.Gt: lambda x, y: operator.gt(_wide(x), _wide(y)), ast.GtE: lambda x, y: operator.ge(_wide(x), _wide(y)),
    ast.Eq: lambda x, y: operator.eq(_wide(x), _wide(y)), ast.NotEq: lambda x, y: operator.ne(_wide(x), _wide(y)),
}  # fmt: skip


def _dtype(values) -> np.dtype | None:
    """Type of the numbers in an array, however nested; None if there are several types, or for a number of Python."""
    layout = values.layout if isinstance(values, ak.Array) else values
    while isinstance(layout, ak.contents.Content) and not layout.is_numpy:
        layout = getattr(layout, "content", None)
    return getattr(layout, "dtype", None)


def _wide(values):
    """Whole numbers and truth values as int64, which does not wrap where 8 or 32 bits do; uint64 beyond it stays."""
    kind = _dtype(values)
    if kind is None or kind.kind not in "biu" or kind == np.int64:
        return values
    if kind == np.uint64 and (_numbers(values) > np.iinfo(np.int64).max).any():
        return values
    return _as(values, np.int64)


def _as(values, kind: type):
    return ak.values_astype(values, kind) if isinstance(values, ak.Array) else np.asarray(values).astype(kind)


def _numbers(values) -> np.ndarray:
    return np.asarray(ak.flatten(values, axis=None) if isinstance(values, ak.Array) else values)


def _fitting(op: Callable, *values):
    """The result for whole numbers, too; InputError if it does not fit into 64 bits, where it would wrap."""
    values = [_wide(x) for x in values]
    result = op(*values)
    if (kind := _dtype(result)) is not None and kind.kind in "iu":
        low, high = (float(x) for x in (np.iinfo(kind).min, np.iinfo(kind).max))
        near = _numbers(op(*(_floating(x) for x in values)))
        if ((near < low) | (near >= high)).any():
            raise InputError("whole numbers do not fit into 64 bits. Multiply one of them by 1.0 to compute roughly.")
    return result


def _floating(x):
    """Powers of Python's integers, 9**9**9, would fill the memory, and those of int64 wrap; those of floats do not."""
    kind = _dtype(x)
    if kind is not None:
        return _as(x, np.float64) if kind.kind in "biu" else x
    return float(x) if isinstance(x, int) else x


def _bits(op: Callable, x, y):
    masks = [value for value in (x, y) if type(value) is int]
    return op(_wide(x), _wide(y)) if masks else op(truth(x), truth(y))


def names_in(expression: str, present: frozenset[str]) -> frozenset[str]:
    """The names in an expression, of those ``present`` or others; InputError if it is no expression."""
    if expression in present:
        return frozenset([expression])
    found: set[str] = set()
    text, paths = _parsable(expression, present)
    _Evaluation(text, lambda name: found.add(paths.get(name, name))).visit_text()
    return frozenset(found)


def evaluate(expression: str, arrays: Mapping[str, ak.Array]):
    """The value of an expression: one number or one list for every entry. InputError if its parts do not fit."""
    if expression in arrays:
        return arrays[expression]
    text, paths = _parsable(expression, arrays)
    with np.errstate(all="ignore"):
        return _Evaluation(text, lambda name: arrays[paths.get(name, name)]).visit_text()


def _parsable(expression: str, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The expression with 'jet.fP.fX' for the path 'jet/fP.fX', which is a name and no quotient; which is which."""
    paths = {x.replace("/", "."): x for x in sorted(names, key=len, reverse=True) if "/" in x and x in expression}
    for dotted, path in paths.items():
        expression = expression.replace(path, dotted)
    return expression, paths


class _Evaluation:
    """One walk through the syntax tree; ``of`` gives the value of a name."""

    def __init__(self, text: str, lookup: Callable):
        self.text, self.of = text, lookup

    def visit_text(self):
        shown = self.text[:100]
        if len(self.text) > LONGEST:
            raise InputError(f"'{shown}...' is longer than {LONGEST} characters. Shorten it.")
        try:
            tree = ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise InputError(f"'{shown}' is neither a name nor an expression of names. Correct it.") from None
        try:
            return self.visit(tree)
        except RecursionError:
            raise InputError(f"'{shown}...' has too many parts inside each other. Shorten it.") from None
        except UNSUITABLE as error:
            reason = " ".join(str(error).split())[:100]
            raise InputError(f"'{shown}' cannot be computed ({reason}). Correct it.") from None

    def visit(self, node):
        match node:
            case ast.Constant(value=bool() | int() | float()):
                return node.value
            case ast.Name() | ast.Attribute():
                return self.of(self.name(node))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return self.apply(op, left, right)
            case ast.UnaryOp(op=op, operand=operand):
                return self.apply(op, operand)
            case ast.BoolOp(op=op, values=[first, *rest]):
                value = self.visit(first)
                for other in rest:
                    value = self.combine(op, value, self.visit(other))
                return value
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OPERATORS:
                return self.apply(op, left, right)
            case ast.Subscript(value=value, slice=ast.Constant(value=0)):
                array = self.visit(value)
                return None if array is None else ak.fill_none(ak.firsts(array, axis=1), 0)
            case ast.Subscript(value=value, slice=ast.Tuple(elts=[ast.Slice(None, None, None), *others])) if others:
                places = (slice(None), *map(self.place, others))
                array = self.visit(value)
                return None if array is None else array[places]
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
                if len(args) != (number := ARGUMENTS.get(name, 1)):
                    raise InputError(f"'{self.text}': {name} takes {number}, not {len(args)} arguments. Correct it.")
                values = [self.visit(arg) for arg in args]
                return None if any(value is None for value in values) else FUNCTIONS[name](*map(_wide, values))
        raise InputError(
            f"'{self.text}': '{ast.unparse(node)}' is not allowed in an expression; allowed are numbers, names, "
            f"+ - * / ** %, comparisons of two, & | ~, x[0], x[:, 0] and {', '.join(sorted(FUNCTIONS))}."
        )

    def place(self, node) -> int | slice:
        """A place along an axis, a whole number, or some: ``:``, ``2:5``, ``::4``."""
        match node:
            case ast.Constant(value=int(place)) if not isinstance(place, bool):
                return place
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(place))):
                return -place
            case ast.Slice(lower=lower, upper=upper, step=step):
                return slice(*(None if part is None else self.place(part) for part in (lower, upper, step)))
        raise InputError(f"'{self.text}': '{ast.unparse(node)}' is not a place along an axis. Write x[:, 0].")

    def name(self, node) -> str:
        match node:
            case ast.Name(id=name):
                return name
            case ast.Attribute(value=value, attr=attribute):
                return f"{self.name(value)}.{attribute}"
        raise InputError(f"'{self.text}': '{ast.unparse(node)}' is no name.")

    def apply(self, op, *nodes):
        values = [self.visit(node) for node in nodes]
        return self.combine(op, *values)

    @staticmethod
    def combine(op, *values):
        # when only names are collected, they have no value yet
        return None if any(value is None for value in values) else OPERATORS[type(op)](*values)
