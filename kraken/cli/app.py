"""The command `kraken`: its options, the list of commands, and how each call of it ends."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from kraken import __version__
from kraken.cli.errors import CommandError, Exit, complain, describe, exit_code
from kraken.cli.group import CommandGroup
from kraken.cli.session import DEFAULT_SOCKET, Session
from kraken.errors import KrakenError

# section -> command -> (where it is, what it does). The summary stands here so that `kraken --help`
# loads none of them; a test keeps both alike.
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "See": {
        "status": ("status:status", "The cluster on one screen."),
        "nodes": ("look:nodes", "Which nodes there are and how they stand."),
        "show": ("look:show", "All that is known of one node."),
        "explain": ("explain:explain", "Why nodes are as they are: one cause each."),
        "drift": ("drift:drift", "Where nodes are not as declared."),
        "watch": ("watch:watch", "See nodes converge, live."),
        "runs": ("journal:runs", "What runs now and what ran lately."),
        "history": ("journal:history", "What changed, newest first."),
    },
    "Declare": {
        "apply": ("declare:apply", "Declare what files say: nodes, groups, desired state."),
        "set": ("declare:set_", "Declare the desired state of nodes."),
        "unset": ("declare:unset", "Withdraw desired state."),
        "plan": ("plan:plan", "Show what would be done, and do nothing."),
        "wait": ("wait:wait", "Wait until nodes have converged."),
        "delete": ("declare:delete", "Forget nodes."),
    },
    "Act": {
        "power": ("power:power", "Command the power of nodes, now."),
        "discover": ("act:discover", "Look at nodes now."),
        "retry": ("act:retry", "Try nodes again: ends quarantine and back-off."),
        "hold": ("act:hold", "Leave nodes alone until released."),
        "release": ("act:release", "Lift holds of nodes."),
        "freeze": ("act:freeze", "Start no mutation anywhere."),
        "thaw": ("act:thaw", "Lift the freeze."),
    },
    "Kraken itself": {
        "bmc": ("bmc:bmc", "BMCs asked: show, sel, sensors, identify."),
        "credentials": (
            "credentials:credentials",
            "Credentials for BMCs: list, check, and change their passwords: new, rotate, finish.",
        ),
        "collector": (
            "collector:collector",
            "Collectors below this one: invite, list, revoke, change their keys.",
        ),
        "join": ("join:join", "Join the tree of collectors, with a token of the parent."),
        "leave": ("leave:leave", "Leave the parent, and be a root again."),
        "module": ("modules:module", "Kraken modules: list, show, write, check, try, find paths, draw."),
        "graph": ("graph:graph", "Picture of the mutations."),
        "daemon": ("daemon:daemon", "Run the daemon."),
        "completion": ("completion:completion", "Completion for your shell."),
    },
}

EPILOG = """\b
Nodes are named by nodesets: n[0001-0128],login1 or @group, a!b without b.
Quote them where the shell would read the brackets.

\b
Exit codes:
  0  done
  1  error
  2  `kraken plan --detailed-exitcode`, `kraken drift`: something
     would change, or differs
  3  refused by safety, or the desired state cannot be reached
  4  done in part; the message says which part
  5  timed out
  64 wrong usage

\b
Environment:
  KRAKEN_SOCKET      the daemon's socket, like --socket
  KRAKEN_URL         the daemon's address, like --url
  KRAKEN_TOKEN_FILE  file with the token for that address
  KRAKEN_CACERT      like --cacert
  NO_COLOR           no colours, when set to anything
"""


class LazyGroup(CommandGroup):
    """The list of commands, of which only the one that is called gets loaded."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in COMMANDS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for commands in COMMANDS.values():
            if cmd_name in commands:
                module, _, attribute = commands[cmd_name][0].partition(":")
                command: click.Command = getattr(import_module(f"kraken.cli.{module}"), attribute)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in COMMANDS.items():
            with formatter.section(section):
                formatter.write_dl([(name, summary) for name, (_, summary) in commands.items()])


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"kraken {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--socket",
    metavar="PATH",
    envvar="KRAKEN_SOCKET",
    help=f"The daemon's socket. [default: {DEFAULT_SOCKET}]",
)
@click.option(
    "--url", metavar="URL", envvar="KRAKEN_URL", help="The daemon's address instead, http(s)://host:port."
)
@click.option(
    "--cacert",
    metavar="FILE",
    envvar="KRAKEN_CACERT",
    help="Authorities to trust for https, instead of the system's.",
)
@click.option(
    "--at",
    metavar="COLLECTOR",
    help="Have this collector below the daemon answer, as if it were asked itself.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context, socket: str | None, url: str | None, cacert: str | None, at: str | None) -> None:
    """Kraken brings the machines of a cluster into the state you declare, and keeps them there.

    Say what you want with `kraken apply` or `kraken set`; see how far it is with `kraken status`,
    `kraken watch` and `kraken explain`. Each command has its own --help.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(Exit.USAGE)
    typed = [name for name in ("socket", "url") if _was_typed(ctx, name)]
    if len(typed) == 2:
        raise click.UsageError("both --socket and --url were given; give one of them")
    if typed == ["url"] or (url and not typed):
        socket = None
    ctx.obj = Session(
        socket=socket,
        url=url,
        token_file=os.environ.get("KRAKEN_TOKEN_FILE") or None,
        cacert=cacert,
        at=at,
    )


def run(arguments: Sequence[str]) -> int:
    """Run one call of `kraken`; the exit code. Every expected error ends here, as one line."""
    try:
        code = _call(list(arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # whoever read us has gone; Python must not complain when it flushes stdout at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE


def _call(arguments: list[str]) -> int:
    # click's own `main` would swallow a broken pipe and keep exit codes of its own
    try:
        instruction = os.environ.get("_KRAKEN_COMPLETE")
        if instruction:
            return _complete(instruction)
        with cli.make_context("kraken", arguments) as context:
            result = cli.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.UsageError as error:
        complain(_usage(error))
        return Exit.USAGE
    except click.ClickException as error:
        complain(error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except KrakenError as error:
        sys.stdout.flush()
        complain(describe(error))
        return exit_code(error)
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("KRAKEN_DEBUG"):
            raise
        complain(
            f"a fault of Kraken's own: {type(error).__name__}: {error}; "
            "KRAKEN_DEBUG=1 shows where, please report it"
        )
        return Exit.ERROR
    return result if isinstance(result, int) else Exit.DONE


def _complete(instruction: str) -> int:
    from click.shell_completion import shell_complete

    return shell_complete(cli, {}, "kraken", "_KRAKEN_COMPLETE", instruction)


def _usage(error: click.UsageError) -> str:
    """A usage error as `what; what to do`, in the same words whichever click is installed."""
    path = error.ctx.command_path if error.ctx else "kraken"
    if isinstance(error, click.NoSuchOption):
        roots = {option for parameter in cli.params for option in parameter.opts}
        if path != "kraken" and error.option_name in roots:
            return f"{error.option_name} stands before the command: kraken {error.option_name} … {path[7:]}"
        close = difflib.get_close_matches(error.option_name, error.possibilities or (), n=1)
        text = f"there is no option {error.option_name}" + (f"; did you mean {close[0]}?" if close else "")
    elif isinstance(error, click.MissingParameter):
        text = f"{_label(error.param)} is missing"
    elif isinstance(error, click.BadParameter):
        text = f"{_label(error.param)}: {_of_kind(error.message, error.param).rstrip('.')}"
    else:
        text = error.message.rstrip(".")
    return text if text.endswith("?") else f"{text}; see `{path} --help`"


def _of_kind(message: str, parameter: click.Parameter | None) -> str:
    """The message, with what may be given as a person writes it: choices unfolded, ranges in words."""
    kind = parameter.type if parameter is not None else None
    what, sign, _ = message.partition(" is not one of ")
    if sign and isinstance(kind, click.Choice):
        return f"{what}{sign}{', '.join(map(str, kind.choices))}"
    what, sign, _ = message.partition(" is not in the range ")
    if sign and isinstance(kind, click.IntRange):
        ends = (("at least", kind.min), ("at most", kind.max))
        return f"{what} is not {' and '.join(f'{word} {end}' for word, end in ends if end is not None)}"
    return message


def _label(parameter: click.Parameter | None) -> str:
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return (parameter.metavar or str(parameter.name).upper()) if parameter else "a parameter"


def _was_typed(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


__all__ = ["COMMANDS", "CommandError", "cli", "run"]
