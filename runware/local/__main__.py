"""`python -m runware.local`: run the local server until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import gc
import queue
import signal
import ssl
import sys
import textwrap
import webbrowser
from collections.abc import Sequence

from runware.local import FAULTS, SWITCHES, LocalServer, Switches
from runware.local.options import DEFAULT_KEY
from runware.local.recording_relay import DEFAULT_UPSTREAM

_POLL = 0.1 if sys.platform == "win32" else None
"""Seconds of one wait for a signal. Ctrl-C does not interrupt a wait on Windows, so that it has to be short there."""


def create_parser(prog: str = "python -m runware.local") -> argparse.ArgumentParser:
    """Create the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serve the Runware API on this machine: no account, no network, no cost.",
        epilog=_describe_names(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8080, help="TCP port; 0: any free one (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME[:PORT]",
                        help="also accept this name in the headers Host and Origin: localhost:3000 for a web page of "
                        "your own there; may be repeated")  # fmt: skip
    parser.add_argument("--key", default=DEFAULT_KEY, help="the accepted API key (default: %(default)s)")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="time until a task's first result")
    parser.add_argument(
        "--spread", type=float, default=0.0, metavar="SECONDS", help="time between the results of one task"
    )
    parser.add_argument("--order", default="as-is", help="order of one task's results: as-is, reversed, shuffled")
    parser.add_argument("--frame-size", type=int, metavar="N", help="results per frame")
    parser.add_argument("--balance", type=float, metavar="DOLLARS", help="credits (default: unlimited)")
    parser.add_argument(
        "--keep", type=int, default=10_000, metavar="N", help="tasks that are kept at least (default: %(default)s)"
    )
    parser.add_argument(
        "--cert", metavar="FILE", help="serve over TLS: file with the certificate chain and the private key"
    )
    parser.add_argument("--fault", action="extend", nargs="+", default=[], metavar="NAME[:PARAMETER=VALUE,...]",
                        help="play a fault, such as half_open or X6:replay=rest; may be repeated")  # fmt: skip
    parser.add_argument("--switch", action="extend", nargs="+", default=[], metavar="NAME=VALUE",
                        help="answer an open question of the protocol, such as q1=new; may be repeated")  # fmt: skip
    parser.add_argument("--record", metavar="FILE", help="pass all tasks on to the real service, with the keys of the "
                        "programs, and record them in a file, without keys and media")  # fmt: skip
    parser.add_argument("--upstream", metavar="URL", default=DEFAULT_UPSTREAM,
                        help="the real service, for --record (default: %(default)s)")  # fmt: skip
    parser.add_argument("--replay", metavar="FILE", help="answer tasks from a file that --record wrote")
    parser.add_argument("--open", action="store_true", help="open the inspector in a browser: a page that shows live "
                        "what the server does, and switches faults on")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the faults and switches, and exit")
    return parser


def _describe_names() -> str:
    """Return the names of all faults."""
    names = ", ".join(f"{fault.alias} ({fault.name})" for fault in FAULTS.values())
    lines = textwrap.wrap(names, 98, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(["faults (--list says what each does):", *lines])


def describe_all() -> str:
    """Return the descriptions of all faults and switches."""
    lines = ["Faults (each also takes times=N or none, and task_type=NAME):"]
    for fault in FAULTS.values():
        times = "always" if fault.default_times is None else f"times={fault.default_times}"
        lines.append(f"  {fault.name:4} {fault.alias}: {fault.summary} [{times}]")
        for name, default in fault.defaults.items():
            allowed = fault.choices.get(name)
            values = f" of {', '.join(map(str, allowed))}" if allowed else ""
            lines.append(f"         {name}={default}{values}")
    lines.append("Switches:")
    default = Switches()
    for switch in SWITCHES:
        values = f" of {', '.join(map(str, switch.values))}" if switch.values else ""
        lines.append(f"  {switch.name} ({switch.alias}) = {getattr(default, switch.name)}{values}: {switch.help}")
    return "\n".join(lines)


def _describe_access(server: LocalServer, *, recording: bool) -> str:
    """Return how to reach a server; the first line is its URL."""
    # A key that the user chose may be one of the real service.
    key = server.api_key if server.api_key == DEFAULT_KEY else "'the key given with --key'"
    exports = f"export RUNWARE_URL={server.url}"
    if not recording:  # the real service needs the program's own key
        exports = f"export RUNWARE_API_KEY={key}\n{exports}"
    return f"{server.url}\n\nPoint a program at it:\n{exports}\n\nWatch it: {server.inspector_url}\n"


def main(argv: Sequence[str] | None = None, prog: str = "python -m runware.local") -> int:
    """Run the server until SIGINT or SIGTERM; print how to reach it when it accepts connections."""
    parser = create_parser(prog)
    options = parser.parse_args(argv)
    if options.list:
        sys.stdout.write(f"{describe_all()}\n")
        return 0
    context = None
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert)
    try:
        server = _create_server(options, context)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    # The server keeps most of its objects; collecting garbage with the default thresholds costs a third of its time.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    return _serve(server, options)


def _create_server(options: argparse.Namespace, context: ssl.SSLContext | None) -> LocalServer:
    """Create the server that the arguments describe. Raise `ValueError` or `OSError` if one is not valid."""
    switches = dict(pair.split("=", 1) for pair in options.switch)
    return LocalServer(
        port=options.port,
        host=options.host,
        api_key=options.key,
        delay=options.delay,
        spread=options.spread,
        result_order=options.order,
        frame_size=options.frame_size,
        balance=options.balance,
        ssl_context=context,
        switches=switches,
        faults=options.fault,
        keep=options.keep,
        allowed_hosts=options.allow_host,
        replay=options.replay,
        record=options.record,
        upstream=options.upstream,
    )


def _serve(server: LocalServer, options: argparse.Namespace) -> int:
    """Run the server until SIGINT or SIGTERM; return the exit code of the program."""
    # Not an event, whose lock the main thread may hold when the signal comes: setting it would block for ever.
    signals: queue.SimpleQueue[None] = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: signals.put(None))
    try:
        server.start()
    except OSError as error:
        sys.stderr.write(f"cannot listen on {options.host}:{options.port}: {error.strerror}\n")
        return 1
    sys.stdout.write(_describe_access(server, recording=options.record is not None))
    sys.stdout.flush()
    if options.open:
        webbrowser.open(server.inspector_url)
    while True:
        try:
            signals.get(timeout=_POLL)
            break
        except queue.Empty:
            continue
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
