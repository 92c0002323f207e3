"""Constraints: a configuration for which a rule holds is never trained.

A rule is an expression over config keys, such as ``ppo.learning_rate > 5e-4 and ppo.learning_epochs > 8``. An
unquoted word is a key; a config group's name stands for its chosen option; strings are quoted. simpleeval evaluates
it, restricted to comparisons, arithmetic, ``in``, ``and``, ``or``, ``not``: no calls, no attributes of objects.
"""

import ast
from collections.abc import Mapping
from typing import Any

import simpleeval

from vbot_train.config.composition import ConfigError, join_lines, look_up

# In every search, as ``check_config`` requires of a single run: at least two samples in each mini-batch.
BUILT_IN = {"mini_batches_too_small": "training.num_envs * ppo.rollouts < 2 * ppo.mini_batches"}

_GRAMMAR = (
    *(ast.Expression, ast.Expr, ast.Constant, ast.List, ast.Tuple, ast.Load, ast.Name, ast.Attribute),
    *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd),
    *(ast.Compare, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.In, ast.NotIn),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
)
_LONGEST_RULE = 500  # characters


class Rule:
    """One compiled rule.

    Args:
        name: Its name in the config.
        text: The expression.

    Raises:
        ConfigError: The text is not an expression of the grammar.
    """

    def __init__(self, name: str, text: Any) -> None:
        self.name = name
        self.text = text
        if not isinstance(text, str) or len(text) > _LONGEST_RULE:
            raise self._build_error(f"must be a string of at most {_LONGEST_RULE} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._build_error(f"not an expression ({error.args[0]})") from error
        for node in ast.walk(tree):
            if not isinstance(node, _GRAMMAR):
                raise self._build_error(
                    f"{type(node).__name__} is not allowed, only comparisons, arithmetic, in, and, or, not"
                )
        self._expression = tree.body

    def holds(self, config: Mapping[str, Any], choices: Mapping[str, str]) -> bool:
        """Check whether the configuration breaks this rule.

        Args:
            config: The composed config, in plain containers.
            choices: The chosen option of each config group.

        Raises:
            ConfigError: The rule names a key that does not exist, or cannot be evaluated.
        """
        try:
            value = _Evaluator(config, choices).eval(self.text, previously_parsed=self._expression)
        except KeyError as error:
            raise self._build_error(f"no such key {error.args[0]}") from error
        except (simpleeval.InvalidExpression, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise self._build_error(f"cannot be evaluated ({error})") from error
        if not isinstance(value, bool):
            raise self._build_error(f"must be true or false, is {value!r}")
        return value

    def _build_error(self, reason: str) -> ConfigError:
        return ConfigError(join_lines(f"search.constraints.{self.name}={self.text}: {reason}"))


class _Evaluator(simpleeval.EvalWithCompoundTypes):
    """simpleeval over config keys."""

    def __init__(self, config: Mapping[str, Any], choices: Mapping[str, str]) -> None:
        super().__init__(functions={})
        self._config = config
        self._choices = choices
        # Floats only: integers cannot grow without bound, strings cannot be formatted or repeated.
        self.operators[ast.Pow] = lambda a, b: _read_number(a) ** _read_number(b)
        self.operators[ast.Mod] = lambda a, b: _read_number(a) % _read_number(b)
        self.operators[ast.Mult] = lambda a, b: _read_number(a) * _read_number(b)
        self.nodes[ast.Name] = self.nodes[ast.Attribute] = self._look_up_value

    def _look_up_value(self, node: ast.expr) -> Any:
        key = ast.unparse(node)
        return self._choices[key] if key in self._choices else look_up(self._config, key)


def _read_number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def compile_rules(constraints: Any) -> list[Rule]:
    """Compile the rules of ``search.constraints`` and the built-in one. A rule of None is switched off.

    Raises:
        ConfigError: Not a mapping of names to rules, a name is not a string, or a rule is malformed.
    """
    if not isinstance(constraints, Mapping):
        raise ConfigError(join_lines(f"search.constraints={constraints}: must be names with rules; {{}} for none"))
    for name in constraints:
        if not isinstance(name, str):
            raise ConfigError(f"search.constraints.{name}: the name of a rule must be a string")
    rules = BUILT_IN | dict(constraints)
    return [Rule(name, text) for name, text in rules.items() if text is not None]


def find_broken_rules(rules: list[Rule], config: Mapping[str, Any], choices: Mapping[str, str]) -> list[str]:
    """Return the names of the rules that a configuration breaks."""
    return [rule.name for rule in rules if rule.holds(config, choices)]
