"""The state of the connection: a table of which state follows which, and what is known about the current attempt."""

from __future__ import annotations

import random

from runware.errors import ConnectionFailedError
from runware.protocol.effects import FOREVER, Open, SessionConfig, State
from runware.protocol.keepalive import Keepalive
from runware.protocol.output import Output
from runware.protocol.retry import backoff

__all__ = ["Connection"]

FOLLOWING: dict[State, tuple[State, ...]] = {
    # From IDLE and BACKING_OFF, exchanges need no connection to be READY.
    State.IDLE: (State.CONNECTING, State.READY, State.CLOSED),
    State.CONNECTING: (State.AUTHENTICATING, State.BACKING_OFF, State.IDLE, State.CLOSED),
    State.AUTHENTICATING: (State.READY, State.BACKING_OFF, State.IDLE, State.CLOSED),
    State.READY: (State.BACKING_OFF, State.IDLE, State.CLOSED),
    State.BACKING_OFF: (State.CONNECTING, State.READY, State.IDLE, State.CLOSED),
    State.CLOSED: (),
}
"""The states that may follow each state."""
_PROVEN = 5.0
"""Seconds for which a connection without messages must have been ready so that its loss counts as a first failure."""


class Connection:
    """One connection after another. It decides nothing about calls.

    Attributes:
        state: The state, which only `enter` changes.
        epoch: The number of the connection, or of the attempt to make it. Facts about an older one are ignored.
        since: When the current state was entered.
        until: When the current state ends by itself.
        session_uuid: The server's name for the session, with which the next connection resumes it.
        stage: How far the attempt to connect is, for error messages.
        host: Which host that stage is about.
        proven_sequence: The sequence of the call that the server has sent something about last over this connection; 0
            if it has sent nothing about any.
        last_failure: Why the last attempt to connect failed; `None` once one has succeeded.
        unattributed_error: The code of the last error that named no task.
        key_accepted: Whether the key is known to be accepted, which only an exchange needs to know.
        keepalive: Decides whether the other end is still there.
    """

    def __init__(self, config: SessionConfig, output: Output, rng: random.Random) -> None:
        self._config = config
        self._output = output
        self._rng = rng
        self.state = State.IDLE
        self.epoch = 0
        self.since = 0.0
        self.until = FOREVER
        self.session_uuid: str | None = None
        self.stage = "TCP"
        self.host = ""
        self.proven_sequence = 0
        self.last_failure: ConnectionFailedError | None = None
        self.unattributed_error: str | None = None
        self.key_accepted = False
        self.keepalive = Keepalive(config.heartbeat_interval, config.liveness_timeout)
        self._failures = 0  # in a row
        self._ever_ready = False

    def enter(self, state: State, now: float, *, until: float = FOREVER) -> None:
        """Change the state.

        Raises:
            RuntimeError: The state does not follow the current one.
        """
        if state not in FOLLOWING[self.state]:
            raise RuntimeError(f"a connection cannot go from {self.state.value} to {state.value}")
        self.state = state
        self.since = now
        self.until = until

    def dial(self, now: float) -> None:
        """Start an attempt to connect."""
        self.epoch += 1
        self.stage, self.host = "name lookup", ""
        self.enter(State.CONNECTING, now, until=now + self._config.connect_timeout)
        self._output.effects.append(Open(self.epoch))

    def opened(self, now: float) -> None:
        """Go on with authentication, within the time that was set for dialling and authentication together."""
        self.enter(State.AUTHENTICATING, self.since, until=self.until)
        self.stage = "authentication"
        self.keepalive.opened(now)

    def ready(self, now: float) -> None:
        """Go on to work."""
        self.enter(State.READY, now)
        self.proven_sequence = 0
        self.unattributed_error = None
        self.last_failure = None
        self._ever_ready = True

    def works(self, now: float) -> None:
        """Note that the server has answered an exchange."""
        self._failures = 0
        self.last_failure = None
        self._ever_ready = True
        if self.state is not State.READY:
            self.enter(State.READY, now)

    def failed(self, error: Exception) -> bool:
        """Count a failed attempt, and return whether further ones are hopeless."""
        self._failures += 1
        if isinstance(error, ConnectionFailedError):
            self.last_failure = error
        return not self._ever_ready and self._failures >= self._config.dial_attempts

    def lost(self, now: float) -> None:
        """Count the loss of a ready connection: as a first failure if the connection had been of use."""
        self._failures = 1 if self.proven_sequence or now - self.since >= _PROVEN else self._failures + 1

    def give_up(self, now: float) -> None:
        """Return to idle; the next call starts with a clean record."""
        self.enter(State.IDLE, now)
        self._failures = 0

    def back_off(self, now: float, *, wanted: bool) -> None:
        """Wait before the next attempt, or, if no call needs a connection, until one does."""
        if wanted:
            wait = backoff(self._failures, self._config.retry_delay, self._rng)
            self.enter(State.BACKING_OFF, now, until=now + wait)
        else:
            self.enter(State.IDLE, now)

    def report_left(self, reason: str, now: float, in_flight: int) -> None:
        """Emit that the connection, or the attempt to make it, is over; called before the state changes."""
        stage = None if self.state is State.READY else self.stage
        self._output.connection_event(
            "Disconnected", self.epoch, now - self.since, reason=reason, stage=stage, in_flight=in_flight
        )

    def where(self) -> str:
        """Return how far the attempt to connect is, as the end of a sentence; empty if there is no attempt."""
        if self.state not in (State.CONNECTING, State.AUTHENTICATING):
            return ""
        return f", at the stage {self.stage!r}{f' with {self.host}' if self.host else ''}"

    def error(self, message: str, now: float) -> ConnectionFailedError:
        """Make the error of the current attempt; *message* ends with a full stop."""
        return ConnectionFailedError(
            f"{message[:-1]}{self.where()}.", stage=self.stage, host=self.host, elapsed=now - self.since
        )
