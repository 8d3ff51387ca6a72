"""The command ``plimsoll fleet``."""

# ruff: noqa: PLC0415 - imports inside commands are what makes --help fast
from __future__ import annotations

from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  plimsoll fleet
  plimsoll fleet --url http://127.0.0.1:8600 --rate 0.05 --format json
  plimsoll replay orders.ndjson --format json | plimsoll fleet --from -
"""
)
@click.option(
    "--url", envvar="PLIMSOLL_URL", help="Address of the daemon.  [default: http://127.0.0.1:8600]"
)
@click.option(
    "--from",
    "replayed",
    type=click.Path(allow_dash=True, dir_okay=False, path_type=Path),
    help="Read what plimsoll replay --format json wrote, - for standard input, and ask no daemon.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="False discovery rate: the part of the list that may be wrong, on average.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
def fleet(*, url: str | None, replayed: Path | None, rate: float, form: str) -> int:
    """Say which of all releases that ended are counted as harmful.

    Each release gives one e-value, as it stood when it ended. Those in the list are found by e-BH
    over all of them; those found live, by e-LOND, were decided one by one as they ended.
    """
    from pipeline import clock, daemon_client, fleet_command

    asked = click.get_current_context().get_parameter_source("url")
    if replayed is not None and asked is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--from and --url are two ways to the verdicts: give one of them")
    try:
        if replayed is not None:
            found = fleet_command.from_file(replayed, rate=rate)
        else:
            address = url or daemon_client.DEFAULT_URL
            with daemon_client.connect(address, clock.sleep) as daemon:
                found = daemon.fleet(rate)
    except (fleet_command.FleetFileError, daemon_client.DaemonError) as error:
        raise click.ClickException(str(error)) from error
    fleet_command.show(found, form)
    return 0
