"""The templates that come with Homeport: what an environment on AWS is made of. Called by the command line."""

from importlib.resources import files

from homeport.plan.aws_stacks import OPERATOR, SHIPPED


def templates() -> dict[str, str]:
    """Name → text."""
    return {name: _text(name) for name in SHIPPED}


def operator_template() -> str:
    """Of the stack that an administrator makes for those who type commands."""
    return _text(OPERATOR)


def _text(name: str) -> str:
    return (files("homeport.stacks") / "shipped" / f"{name}.yaml").read_text("utf-8")
