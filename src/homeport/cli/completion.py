"""`homeport completion`: what a shell needs to complete commands and options."""

import click

from homeport.cli import options, output


@click.command(
    epilog=options.example(
        "homeport completion bash > ~/.local/share/bash-completion/completions/homeport",
        "homeport completion zsh > ~/.zfunc/_homeport   # a directory in $fpath",
        "homeport completion fish > ~/.config/fish/completions/homeport.fish",
    )
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@options.as_json
def completion(shell: str, as_json: bool) -> None:
    """Print a shell's completion script."""
    from click.shell_completion import get_completion_class

    from homeport.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None, shell
    script = kind(cli, {}, "homeport", "_HOMEPORT_COMPLETE").source()
    if as_json:
        output.emit({"shell": shell, "script": script})
    else:
        print(script)
