"""Parameters of a declaration in its body: texts that are expressions of them become values.

The language is that of musket_core's templates: numbers, parameters, ``+ - * / ** ^`` (``^`` is bitwise), ``not``; and
comparisons, ``and``, ``or``. A quotient of whole numbers is a whole number, cut. Nothing is executed.
"""

import ast
import operator
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, nearest, shortened

LARGEST = 1e12
"""Numbers that an expression may have on its way; higher powers would take for ever."""

LONGEST = 200

_BINARY: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.BitXor: operator.xor,
}
_COMPARED: dict[type, Any] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def filled_in(value: Any, parameters: Mapping[str, Any], where: str) -> Any:
    """Return a value of the YAML with the texts that are expressions of parameters in place of them.

    A text counts as one when it is an expression that names a parameter, and nothing but parameters.

    Raises:
        ConfigError: Such an expression has no value.
    """
    if isinstance(value, dict):
        return {key: filled_in(entry, parameters, where) for key, entry in value.items()}
    if isinstance(value, list):
        return [filled_in(entry, parameters, where) for entry in value]
    if not isinstance(value, str) or not parameters:
        return value
    if value in parameters:
        return parameters[value]
    names = names_in(value)
    return evaluated(value, parameters, where) if names and names <= set(parameters) else value


def evaluated(text: str, parameters: Mapping[str, Any], where: str) -> Any:
    """Return the value of an expression.

    Args:
        text: The expression.
        parameters: Values of the names in it; ``True``, ``False`` and ``None`` are known.
        where: What has it, for messages.

    Raises:
        ConfigError: It is no expression of the language, names something else, or has no value.
    """
    try:
        if len(text) > LONGEST:
            raise SyntaxError
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ConfigError(
            f"{where}: {shortened(text)} is no expression of parameters and numbers: correct it."
        ) from None
    try:
        return _value(tree, parameters)
    except KeyError as error:
        name = str(error.args[0])
        known = f"known are {', '.join(map(str, parameters))}" if parameters else "there are no parameters here"
        raise ConfigError(
            f"{where}: {shortened(text)} names {name!r}{nearest(name, map(str, parameters))}, but {known}."
        ) from None
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ConfigError(f"{where}: {shortened(text)} has no value ({error}): correct it.") from None


def names_in(text: str, *, anywhere: bool = False) -> set[str]:
    """Return the names in an expression of numbers, names and arithmetic; none of any other text.

    Args:
        text: The text.
        anywhere: Take comparisons, ``and``, ``or`` and all else that Python knows, too: a condition.
    """
    try:
        if len(text) > LONGEST:
            return set()
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    allowed = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant, ast.operator, ast.unaryop, ast.Load)
    nodes = list(ast.walk(tree))
    if not anywhere and not all(isinstance(node, allowed) for node in nodes):
        return set()
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _value(node: ast.AST, parameters: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (bool, int, float, str))):
        return node.value
    if isinstance(node, ast.Name):
        return parameters[node.id]
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, parameters)
        if isinstance(node.op, ast.Not):
            return not value
        if isinstance(node.op, (ast.USub, ast.UAdd)):
            return -value if isinstance(node.op, ast.USub) else +value
    if isinstance(node, ast.BoolOp):
        values = [_value(part, parameters) for part in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.Compare):
        values = [_value(part, parameters) for part in (node.left, *node.comparators)]
        known = [_COMPARED.get(type(one)) for one in node.ops]
        if None not in known:
            pairs = zip(known, values, values[1:], strict=False)
            return all(compare(left, right) for compare, left, right in pairs if compare is not None)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _combined(type(node.op), _value(node.left, parameters), _value(node.right, parameters))
    raise ValueError(f"{type(node).__name__} is not part of the language")


def _combined(kind: type, left: Any, right: Any) -> Any:
    for value in (left, right):
        if not isinstance(value, (bool, int, float)):
            raise TypeError(f"{shortened(value)} is no number")
        if abs(value) > LARGEST:
            raise ValueError(f"{shortened(value)} is too large")
    if kind is ast.Pow and abs(right) > 64:
        raise ValueError(f"the power {shortened(right)} is too large")
    result = _BINARY[kind](left, right)
    if isinstance(result, complex):
        raise ValueError("it is no real number")
    if isinstance(result, float) and (result.is_integer() or (float(left).is_integer() and float(right).is_integer())):
        return int(result)
    return result
