"""The templates that come with Homeport: what an environment on AWS is made of. Called by the command line."""

from importlib.resources import files

from homeport.plan.aws_stacks import SHIPPED


def templates() -> dict[str, str]:
    """Name → text."""
    directory = files("homeport.stacks") / "shipped"
    return {name: (directory / f"{name}.yaml").read_text("utf-8") for name in SHIPPED}
