"""The commands around what is kept: ``rejects``, ``backup``, ``restore``."""

# ruff: noqa: PLC0415 - imports inside commands are what makes --help fast
from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

FAILED: Final = 1

_STATE = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="PLIMSOLL_STATE",
    help="Directory of the state; by default in the user's own state directory.",
)
_REASON = click.option("--reason", default="", help="Only those with this reason: not_json, ...")
_SOURCE = click.option(
    "--source", default="", help="Only those from here, such as http, kafka:orders or file:/in."
)
_SERVICE = click.option("--service", default="", help="Only those of this service.")
_FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")


def _directory(state: Path | None) -> Path:
    from pipeline import wiring

    try:
        return wiring.configured(None, os.environ, state=state).state
    except wiring.WiringError as error:
        raise click.ClickException(str(error)) from error


@click.group(
    epilog="""\b
Examples:
  plimsoll rejects list --reason time_invalid
  plimsoll rejects replay --source kafka:orders
"""
)
def rejects() -> None:
    """List what was refused, and try it once more when its cause is mended."""


@rejects.command(
    "list",
    epilog="""\b
Examples:
  plimsoll rejects list --state /var/lib/plimsoll --limit 50
  plimsoll rejects list --url http://127.0.0.1:8600 --source kafka:orders --format json
""",
)
@_REASON
@_SOURCE
@_SERVICE
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="At most so many.",
)
@_STATE
@click.option("--url", help="Ask the daemon at this address instead of reading its directory.")
@_FORMAT
def list_rejects(
    *,
    reason: str,
    source: str,
    service: str,
    limit: int,
    state: Path | None,
    url: str | None,
    form: str,
) -> int:
    """Show the newest rejects: reason, where they came from, whose they are, how they begin.

    Works beside a running daemon.
    """
    from collector.keeping.checkpoint import Sought
    from pipeline import clock, daemon_client, rejects_command

    if url and state:
        raise click.UsageError("--state and --url are two ways to the same list: give one of them")
    sought = Sought(reason, source, service)
    try:
        if url:
            with daemon_client.connect(url, clock.sleep) as daemon:
                found = daemon.rejects(sought, limit=limit)
        else:
            found = rejects_command.kept(_directory(state), sought, limit=limit)
    except (rejects_command.RejectsError, daemon_client.DaemonError) as error:
        raise click.ClickException(str(error)) from error
    rejects_command.show(found, form)
    return 0


@rejects.command(
    "replay",
    epilog="""\b
Examples:
  plimsoll rejects replay --reason mapping --source kafka:orders
  plimsoll rejects replay --id 17 --id 18
""",
)
@_REASON
@_SOURCE
@_SERVICE
@click.option(
    "--id", "ids", type=click.IntRange(1), multiple=True, help="Only this one; repeatable."
)
@click.option(
    "--url",
    default="http://127.0.0.1:8600",
    envvar="PLIMSOLL_URL",
    show_default=True,
    help="Address of the daemon.",
)
@_FORMAT
def replay_rejects(
    *, reason: str, source: str, service: str, ids: tuple[int, ...], url: str, form: str
) -> int:
    """Try rejects once more, after their mapping, policy or limit was mended.

    They go through the running daemon. What is taken is a reject no more and counts exactly once;
    what is still refused stays, with the reason of now. Exit code: 0, or 1 if something stays.
    """
    from collector.keeping.reject_list import Tried
    from pipeline import clock, daemon_client, rejects_command

    terminal = sys.stderr.isatty()

    def told(count: int) -> None:
        if terminal:
            click.echo(f"\r{count} tried", err=True, nl=False)

    tried = Tried(reason=reason, source=source, service=service, ids=ids)
    try:
        with daemon_client.connect(url, clock.sleep) as daemon:
            found = rejects_command.replay(daemon, tried, told)
    except daemon_client.DaemonError as error:
        raise click.ClickException(str(error)) from error
    if terminal:
        click.echo("\r\x1b[2K", err=True, nl=False)
    rejects_command.tell(found, form)
    return FAILED if found.rejected or found.hindered else 0


@click.command(
    epilog="""\b
Examples:
  plimsoll backup /backups
  plimsoll backup /backups/before-upgrade.sqlite --state /var/lib/plimsoll
"""
)
@click.argument("to", type=click.Path(path_type=Path))
@_STATE
def backup(*, to: Path, state: Path | None) -> int:
    """Copy the state to the file TO, or into the directory TO, while the daemon runs.

    The copy is one consistent file, read back and verified. Exit code: 0, or 1 if there is no copy.
    """
    from pipeline import backup_command

    try:
        written = backup_command.back_up(to, _directory(state), terminal=sys.stderr.isatty())
    except backup_command.BackupError as error:
        click.echo(f"plimsoll: {error}", err=True)
        return FAILED
    click.echo(f"{written.path} holds {written.holding}; verified")
    return 0


@click.command(
    epilog="""\b
Examples:
  plimsoll restore /backups/plimsoll-000000001200.sqlite
  plimsoll restore backup.sqlite --state /var/lib/plimsoll --force
"""
)
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@_STATE
@click.option(
    "--force",
    is_flag=True,
    help="Move a state that is there aside, and put the backup in its place.",
)
def restore(*, source: Path, state: Path | None, force: bool) -> int:
    """Put the backup FILE where the daemon finds it; the daemon must not run.

    The backup is verified first. Nothing is deleted. Exit code: 0, or 1 if nothing was changed.
    """
    from pipeline import backup_command

    try:
        holding, restored = backup_command.put_back(
            source, _directory(state), force=force, terminal=sys.stderr.isatty()
        )
    except backup_command.BackupError as error:
        click.echo(f"plimsoll: {error}", err=True)
        return FAILED
    click.echo(f"{restored.path} holds {holding}; verified")
    if restored.aside is not None:
        click.echo(f"the state that was there is in {restored.aside}")
    click.echo(
        "start plimsoll serve: it goes on from there. What Kafka and files still hold since then "
        "is read again; what was posted since then must be sent again, and nothing counts twice."
    )
    return 0
