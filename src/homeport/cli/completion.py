"""`homeport completion`: what a shell needs to complete commands, options and names.

The scripts ask `homeport` itself at each Tab, in the way of click, whose own ones put a blank after `web=`, and in bash
lose what is typed behind the `=`.
"""

import click

from homeport.cli import options, output

BASH = r"""# homeport: completion for bash
_homeport_completion() {
    local IFS=$'\n' line value typed=${COMP_LINE:0:COMP_POINT} current before
    local -a words
    IFS=' ' read -ra words <<< "$typed"
    [[ $typed == *' ' ]] && words+=("")
    current=${words[${#words[@]}-1]}
    before=${current%"${current##*[=:]}"}  # bash completes what follows the last = or :
    COMPREPLY=()
    for line in $(COMP_WORDS=$typed COMP_CWORD=$((${#words[@]} - 1)) _HOMEPORT_COMPLETE=bash_complete "$1" 2>/dev/null)
    do
        value=${line#*,}
        case $line in
            dir,*) compopt -o dirnames ;;
            file,*) compopt -o default ;;
            plain,*)
                [[ $value == *= ]] && compopt -o nospace
                COMPREPLY+=("${value#"$before"}") ;;
        esac
    done
}
complete -o nosort -F _homeport_completion homeport"""

ZSH = r"""#compdef homeport
# homeport: completion for zsh
_homeport_completion() {
    local kind value help
    local -a plain open described
    (( $+commands[homeport] )) || return 1
    [[ $PREFIX == --*=* ]] && compset -P '*='
    local -a answer=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT - 1)) _HOMEPORT_COMPLETE=zsh_complete \
        homeport 2>/dev/null)}")
    for kind value help in ${answer}; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                if [[ $value == *= ]]; then open+=("$value")
                elif [[ $help == _ ]]; then plain+=("$value")
                else described+=("${value}:${help}"); fi ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described
    (( $#plain )) && compadd -V unsorted -a plain
    (( $#open )) && compadd -S '' -V unsorted -a open
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _homeport_completion "$@"
else
    compdef _homeport_completion homeport
fi"""

FISH = r"""# homeport: completion for fish
function _homeport_completion
    set -l before (string match -r -- '^--[a-z-]+=' (commandline -ct))
    for line in (COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -ct) _HOMEPORT_COMPLETE=fish_complete \
        homeport 2>/dev/null)
        set -l answer (string split -m 1 , -- $line)
        switch $answer[1]
            case dir
                __fish_complete_directories (commandline -ct)
            case file
                __fish_complete_path (commandline -ct)
            case plain
                printf '%s\n' "$before$answer[2]"
        end
    end
end
complete --no-files --command homeport --arguments '(_homeport_completion)'"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@click.command(
    epilog=options.example(
        "source <(homeport completion bash)   # in ~/.bashrc",
        "homeport completion zsh > ~/.zfunc/_homeport   # a directory in $fpath",
        "homeport completion fish > ~/.config/fish/completions/homeport.fish",
        see="help",
    )
)
@click.argument("shell", type=click.Choice(tuple(SCRIPTS)))
@options.as_json
def completion(shell: str, as_json: bool) -> None:
    """Print a shell's completion script.

    Tab then completes commands, options and names that exist: environments, apps, groups, instances, releases,
    deployments, config keys. Nothing is installed: the script goes where the shell looks for such, see the examples.
    """
    script = SCRIPTS[shell]
    if as_json:
        output.emit({"shell": shell, "script": script})
    else:
        print(script)
