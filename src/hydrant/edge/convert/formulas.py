"""Score formulas, from `models.FormulaQuery` to the engine's expression tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qdrant_edge as engine
from qdrant_client import models

from hydrant.edge.convert.filters import to_engine_condition, to_engine_geo_point
from hydrant.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def to_engine_formula(query: models.FormulaQuery) -> engine.Formula:
    """A formula as the engine takes it.

    Raises:
        InputError: Something in it is no expression.
    """
    return engine.Formula(_expression(query.formula), query.defaults)


def _expression(value: Any) -> engine.Expression:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return engine.Expression.Constant(float(value))
    if isinstance(value, str):
        return engine.Expression.Variable(value)
    convert = _EXPRESSIONS.get(type(value))
    if convert is not None:
        return convert(value)
    if isinstance(value, _CONDITIONS):
        return engine.Expression.Condition(to_engine_condition(value))
    message = f"expected an expression of qdrant_client.models, got {value!r}"
    raise InputError(message)


def _all(values: list[Any]) -> list[engine.Expression]:
    return [_expression(value) for value in values]


def _div(value: models.DivExpression) -> engine.Expression:
    left, right = _expression(value.div.left), _expression(value.div.right)
    return engine.Expression.Div(left, right, value.div.by_zero_default)


def _pow(value: models.PowExpression) -> engine.Expression:
    return engine.Expression.Pow(_expression(value.pow.base), _expression(value.pow.exponent))


def _geo(value: models.GeoDistance) -> engine.Expression:
    return engine.Expression.GeoDistance(
        to_engine_geo_point(value.geo_distance.origin), value.geo_distance.to
    )


def _decay(kind: engine.DecayKind, params: models.DecayParamsExpression) -> engine.Expression:
    target = _expression(params.target) if params.target is not None else None
    return engine.Expression.Decay(kind, _expression(params.x), target, params.midpoint, params.scale)


_EXPRESSIONS: Mapping[type, Callable[[Any], engine.Expression]] = {
    models.GeoDistance: _geo,
    models.DatetimeExpression: lambda value: engine.Expression.Datetime(value.datetime),
    models.DatetimeKeyExpression: lambda value: engine.Expression.DatetimeKey(value.datetime_key),
    models.MultExpression: lambda value: engine.Expression.Mult(_all(value.mult)),
    models.SumExpression: lambda value: engine.Expression.Sum(_all(value.sum)),
    models.MaxExpression: lambda value: engine.Expression.Max(_all(value.max)),
    models.MinExpression: lambda value: engine.Expression.Min(_all(value.min)),
    models.NegExpression: lambda value: engine.Expression.Neg(_expression(value.neg)),
    models.AbsExpression: lambda value: engine.Expression.Abs(_expression(value.abs)),
    models.DivExpression: _div,
    models.SqrtExpression: lambda value: engine.Expression.Sqrt(_expression(value.sqrt)),
    models.PowExpression: _pow,
    models.ExpExpression: lambda value: engine.Expression.Exp(_expression(value.exp)),
    models.Log10Expression: lambda value: engine.Expression.Log10(_expression(value.log10)),
    models.LnExpression: lambda value: engine.Expression.Ln(_expression(value.ln)),
    models.AcoshExpression: lambda value: engine.Expression.Acosh(_expression(value.acosh)),
    models.LinDecayExpression: lambda value: _decay(engine.DecayKind.Lin, value.lin_decay),
    models.ExpDecayExpression: lambda value: _decay(engine.DecayKind.Exp, value.exp_decay),
    models.GaussDecayExpression: lambda value: _decay(engine.DecayKind.Gauss, value.gauss_decay),
}

_CONDITIONS = (
    models.FieldCondition,
    models.IsEmptyCondition,
    models.IsNullCondition,
    models.HasIdCondition,
    models.HasVectorCondition,
    models.SliceCondition,
    models.NestedCondition,
    models.Filter,
)
