"""`daemon`: start Kraken's daemon with its HTTP interface, in the foreground."""

from __future__ import annotations

import os
from typing import Any

import click
from click.core import ParameterSource

from kraken.cli.errors import Exit


@click.command()
@click.option("--config", metavar="FILE", help="Instead of /etc/kraken/kraken.yaml and its conf.d.")
@click.option("--state-dir", metavar="DIR", help="Where state is kept. [default: /var/lib/kraken]")
@click.option("--socket", metavar="PATH", help="Where it listens. [default: /run/kraken/kraken.sock]")
@click.option("--check", is_flag=True, help="Say whether the configuration is right; start nothing.")
@click.pass_context
def daemon(
    ctx: click.Context, config: str | None, state_dir: str | None, socket: str | None, check: bool
) -> int:
    """Run the daemon.

    In the foreground, until SIGTERM or Ctrl-C; SIGHUP reads the Kraken modules again. Tells systemd
    when it is ready (Type=notify). A daemon killed at any moment loses nothing it has acknowledged;
    started again, it goes on where it was.

    With --check it reads the configuration, the file of tokens and the certificate, says what is wrong
    with them or that nothing is, and ends: try a new configuration before the daemon has it.

    \b
    kraken daemon --check --config new.yaml
    """
    from kraken.api.server import read_for_doors, serve
    from kraken.daemon.config import load_config

    overrides: dict[str, Any] = {"state_dir": state_dir, "api.socket": socket or _socket_before(ctx)}
    said = {key: value for key, value in overrides.items() if value is not None}
    loaded = load_config(config, os.environ, said)
    if check:
        read_for_doors(loaded)
        click.echo("The configuration is right.")
        return Exit.DONE
    code = serve(loaded)
    return code if code else Exit.DONE


def _socket_before(ctx: click.Context) -> str | None:
    """The one of `kraken --socket PATH daemon`. KRAKEN_SOCKET says where another daemon is asked, and whoever
    has it set for that one must not have this one listen there against its configuration.
    """
    above = ctx.parent
    if above is None or above.get_parameter_source("socket") is not ParameterSource.COMMANDLINE:
        return None
    found: str | None = above.params["socket"]
    return found
