"""The command ``plimsoll``: what it may be told, and which part of the pipeline does it.

Every import that costs time is made inside the command that needs it, so that ``--help`` answers
at once. Errors are one line that says what to do; exit codes are part of the interface.
"""

# ruff: noqa: PLC0415 - imports inside commands are what makes --help fast
from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from pipeline import audit_command, cli_fleet, cli_keeping

if TYPE_CHECKING:
    from analyzers.judging.verdict import Verdict

FAILED: Final = 1
MISUSE: Final = 2
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    """The seconds of a duration such as 90s, 30m, 12h or 30d."""
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", value.strip(), re.ASCII)
    if match is None or not (match[2] or value.strip() == "0"):
        raise click.BadParameter(f"{value!r} is no duration; write for instance 90s, 30m or 12h")
    return int(match[1]) * _UNITS.get(match[2], 1)


def version() -> str:
    """The installed version, or 0 in a checkout that was never installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("plimsoll")
    except PackageNotFoundError:
        return "0"


def _print_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"plimsoll {version()}")
        ctx.exit()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and exits with its code."""
    try:
        code = cli.main(args=arguments, prog_name="plimsoll", standalone_mode=False)
    except click.exceptions.Exit as asked:
        sys.exit(asked.exit_code)
    except click.Abort:
        click.echo("plimsoll: stopped", err=True)
        sys.exit(130)
    except click.UsageError as error:
        hint = f"; see {error.ctx.command_path} --help" if error.ctx else ""
        click.echo(f"plimsoll: {error.format_message()}{hint}", err=True)
        sys.exit(MISUSE)
    except click.ClickException as error:
        click.echo(f"plimsoll: {error.format_message()}", err=True)
        sys.exit(MISUSE)
    except BrokenPipeError:
        # Somebody read enough, as `head` does. Nothing may be written at exit either.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def refuse(error: Exception | str) -> NoReturn:
    """Ends the command with one line and the code for misuse."""
    raise click.ClickException(str(error))


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command has examples: plimsoll COMMAND --help",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Judges a release by what it does to the business.

    Business events and deployment markers go in; verdicts, alerts and metrics come out.
    """


for _command in (audit_command.audit, cli_fleet.fleet, cli_keeping.backup, cli_keeping.rejects):
    cli.add_command(_command)
cli.add_command(cli_keeping.restore)


_CONFIG = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="PLIMSOLL_CONFIG",
    help="Policy and settings (YAML). Without it the built-in catalogue is used.",
)
_URL = click.option(
    "--url",
    default="http://127.0.0.1:8600",
    envvar="PLIMSOLL_URL",
    show_default=True,
    help="Address of the daemon.",
)


@cli.command(
    epilog="""\b
Examples:
  plimsoll serve
  plimsoll serve --config plimsoll.yml --state /var/lib/plimsoll --port 8600
"""
)
@_CONFIG
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="PLIMSOLL_STATE",
    help="Directory of the state; by default in the user's own state directory.",
)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: 8600]"
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Listen on an address that others can reach, although anybody there may send markers.",
)
def serve(
    *,
    config: Path | None,
    state: Path | None,
    host: str | None,
    port: int | None,
    insecure: bool,
) -> int:
    """Run the daemon: take events and markers, judge, publish.

    Needs no broker and no database server. Answers 202 only when an event is on disk; ends with
    exit code 0 on SIGTERM, with nothing lost.
    """
    from pipeline import wiring

    try:
        given = wiring.configured(config, os.environ, state=state, host=host, port=port)
        wiring.serve(given, insecure=insecure, version=version(), announce=click.echo, say=_say)
    except wiring.WiringError as error:
        refuse(error)
    except wiring.EngineError as error:
        click.echo(f"plimsoll: {error}", err=True)
        return FAILED
    return 0


@cli.command(
    epilog="""\b
Examples:
  plimsoll verdict order-api-1.42.0
  plimsoll verdict order-api-1.42.0 --wait 30m --format json
"""
)
@click.argument("deployment")
@_URL
@click.option(
    "--wait",
    callback=seconds,
    default="0",
    metavar="DURATION",
    help="Ask again until the answer is promote, rollback or hold, at most this long.",
)
@click.option(
    "--interval",
    callback=seconds,
    default="5s",
    metavar="DURATION",
    show_default=True,
    help="Time between two looks.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def verdict(*, deployment: str, url: str, wait: int, interval: int, form: str) -> int:
    """Ask for the verdict on DEPLOYMENT: the gate for a CI job.

    Exit code: 0 promote, 1 rollback, 3 wait or hold, 2 misuse or daemon unreachable.
    """
    from pipeline import clock, daemon_client, gate, render

    terminal = sys.stderr.isatty()

    def show(seen: Verdict | None, left_s: float) -> None:
        if terminal:
            line = render.progress_line(seen, left_s)[: shutil.get_terminal_size().columns - 1]
            click.echo(f"\r\x1b[2K{line}", err=True, nl=False)

    try:
        with daemon_client.connect(url, clock.sleep) as daemon:
            found = gate.await_decision(
                daemon,
                deployment,
                wait_s=wait,
                interval_s=max(1, interval),
                now_s=clock.monotonic_s,
                show=show,
            )
    except daemon_client.DaemonError as error:
        refuse(error)
    finally:
        if terminal and wait:
            click.echo("\r\x1b[2K", err=True, nl=False)
    if form == "json":
        click.echo(render.as_json(found))
    else:
        render.plain_console().print(render.verdict_text(found))
    return gate.exit_code(found.action)


@cli.command(
    epilog="""\b
Examples:
  plimsoll mark started --service order-api --version 1.42.0 --replaces 1.41.3 --share 0.1
  plimsoll mark finished --service order-api --version 1.42.0 --outcome ok
"""
)
@click.argument("verb", type=click.Choice(["started", "shifted", "finished", "rolled-back"]))
@click.option("--service", required=True, help="The service that is released.")
@click.option("--version", "release", required=True, help="The version that is released.")
@click.option("--deployment", help="Name of the deployment.  [default: SERVICE-VERSION]")
@click.option("--environment", default="", help="[default: production]")
@click.option("--replaces", default="", help="The version that is replaced.")
@click.option("--strategy", default="", help="canary, ring, blue_green, rolling, flag, ...")
@click.option("--share", type=click.FloatRange(0, 1), help="Share of the traffic, 0 to 1.")
@click.option("--cohort", multiple=True, help="Who gets it, as warehouse=W1,W2; may be repeated.")
@click.option("--outcome", default="", help="How it finished: ok or failed.")
@click.option("--owner", default="", help="Who owns the release.")
@click.option("--runbook", default="", help="Address of the runbook.")
@click.option("--time", "said_time", help="RFC 3339, or epoch milliseconds.  [default: now]")
@click.option("--id", "said_id", help="Idempotency key.  [default: from deployment, verb and time]")
@_URL
def mark(
    *,
    verb: str,
    service: str,
    release: str,
    deployment: str | None,
    environment: str,
    replaces: str,
    strategy: str,
    share: float | None,
    cohort: tuple[str, ...],
    outcome: str,
    owner: str,
    runbook: str,
    said_time: str | None,
    said_id: str | None,
    url: str,
) -> int:
    """Tell the daemon that a deployment started, shifted, finished or was rolled back.

    Sends the marker again if it does not get through; its id makes that harmless.
    """
    from pipeline import clock, daemon_client, render
    from pipeline import mark as marking

    name = deployment or f"{service}-{release}"
    try:
        time = marking.event_time(said_time, now=clock.wall_time())
        marker = marking.NewMarker(
            id=said_id or marking.marker_id(name, verb, time),
            time=time,
            type=marking.VERBS[verb],
            deployment=name,
            service=service,
            version=release,
            environment=environment,
            replaces=replaces,
            strategy=strategy,
            share=share,
            cohort=marking.cohort(cohort),
            outcome=outcome,
            owner=owner,
            runbook=runbook,
        )
        body = render.as_json(marker)
        with daemon_client.connect(url, clock.sleep) as daemon:
            daemon.send_marker(body.encode())
    except (marking.MarkError, daemon_client.DaemonError) as error:
        refuse(error)
    click.echo(body)
    click.echo(marking.page_url(url, name))
    return 0


@cli.command(
    epilog="""\b
Examples:
  plimsoll replay orders.ndjson
  plimsoll replay 2026-05-*.ndjson.gz --config plimsoll.yml --format json
"""
)
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True, path_type=Path))
@_CONFIG
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
@click.option("--until", help="Judge as of this time (RFC 3339), and leave out what came later.")
def replay(*, files: tuple[Path, ...], config: Path | None, form: str, until: str | None) -> int:
    """Judge recorded streams: NDJSON, gzip, Parquet, or the state file of a daemon.

    FILES may be folders too, and - is standard input. Order does not matter. A daemon's state
    file gives its live verdicts again.
    """
    from pipeline import replay_command

    try:
        found = replay_command.judged(
            files, config, os.environ, until=until, terminal=sys.stderr.isatty()
        )
    except replay_command.ReplayError as error:
        refuse(error)
    replay_command.show(found, form)
    return 0


@cli.command(
    epilog="""\b
Examples:
  plimsoll check --config plimsoll.yml
  plimsoll check --sample orders.ndjson --config plimsoll.yml --source erp
  kcat -C -J -e -b broker:9092 -t orders | plimsoll check --config plimsoll.yml --sample -
"""
)
@_CONFIG
@click.option(
    "--sample",
    type=click.Path(allow_dash=True, path_type=Path),
    help="Show what a source makes of these messages: NDJSON, gzip, Parquet, kcat -J, or -.",
)
@click.option("--source", help="The source of the configuration that would read them.")
@click.option(
    "--rows",
    type=click.IntRange(0, 100_000),
    default=20,
    show_default=True,
    help="Rows of the sample that are shown; all are counted.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def check(
    *, config: Path | None, sample: Path | None, source: str | None, rows: int, form: str
) -> int:
    """Validate a configuration and try what it names; every fault at once, each with its path.

    With --sample nothing is tried: recorded messages are shown row by row as the events that a
    source makes of them, or why not. Exit code: 0 if all is well, 1 if not.
    """
    if sample is None:
        if source is not None or form != "text":
            raise click.UsageError("--source and --format belong to --sample")
        from pipeline.config.check import run_check

        return run_check(config, sys.stdout)
    from pipeline import sample_text
    from pipeline.sample import SampleError

    try:
        return sample_text.run_sample(
            config,
            sample,
            sys.stdout,
            env=os.environ,
            source=source,
            rows=rows,
            as_json=form == "json",
        )
    except SampleError as error:
        refuse(error)


@cli.command(
    epilog="""\b
Examples:
  plimsoll demo
  plimsoll demo --once --harm-country 0.5 --country France
"""
)
@click.option("--once", is_flag=True, help="End when the story has been told.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port of the live page.  [default: free]"
)
@click.option("--fast", is_flag=True, help="Do not wait so that a person can follow.")
@click.option(
    "--harm-country",
    type=click.FloatRange(0, 1),
    default=0.9,
    show_default=True,
    help="Part of one country's orders that the bad release rejects.",
)
@click.option("--country", default="Germany", show_default=True, help="The country that is hit.")
@click.option(
    "--slow",
    type=click.FloatRange(0, 10),
    default=0.5,
    show_default=True,
    help="How much longer the slow release takes to confirm.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of every draw.")
def demo(
    *,
    once: bool,
    port: int | None,
    fast: bool,
    harm_country: float,
    country: str,
    slow: float,
    seed: int,
) -> int:
    """Replay real orders of a distributor with one bad release among good ones.

    What is injected is said openly; the verdicts are the daemon's own. Then the live page stays
    up until Ctrl-C.
    """
    from pipeline.demo.play import DemoError, run
    from pipeline.demo.story import Dials
    from pipeline.render import plain_console

    try:
        dials = Dials(harm_country=harm_country, country=country, slow=slow, seed=seed)
        return run(once=once, dials=dials, port=port, fast=fast, console=plain_console())
    except DemoError as error:
        refuse(error)


def _say(line: str) -> None:
    click.echo(line, err=True)
