"""One BMC: its queue, its session, and how long to believe in it. It never disturbs another.

Runs in the thread of its loop; no I/O but through the wire: tests drive it with those of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from kraken.executors.clock import Alarm, Clock
from kraken.executors.former import Former
from kraken.executors.ipmi.backlog import Backlog
from kraken.executors.ipmi.course import Course
from kraken.executors.ipmi.doubt import Doubt
from kraken.executors.ipmi.gate import Gate, Ticket
from kraken.executors.ipmi.levels import lower_level, meaning_of_level, must_rise, rise
from kraken.executors.ipmi.ports import Opener, Session
from kraken.executors.ipmi.refusals import answer_of
from kraken.executors.ipmi.silence import lost, not_asked, silent, too_late, unacknowledged
from kraken.executors.ipmi.verbs import KEEP_ALIVE, LOW_PRIVILEGE, NODE_BUSY, PROBE, meaning_of
from kraken.executors.ipmi.words import IpmiLimits, Login, Order, Reply
from kraken.executors.pace import Lane, Waiting
from kraken.executors.place import Answer, LoginRefused, Place, Reach, refusal, unsendable
from kraken.model.run import Outcome

_LOGIN_PACKETS: Final = 5  # its four steps, and the end of the session
_SILENT_LOGIN_S: Final = 1.0  # after which a login gives its place among those at once to another


class Bmc:
    """Serves the orders for one BMC, one at a time, mutations first.

    Args:
        check: says why nothing may be sent to a place; asked before each login.
    """

    def __init__(
        self,
        place: Place,
        wire: Opener,
        clock: Clock,
        gate: Gate,
        lane: Lane,
        limits: IpmiLimits,
        check: Callable[[Place], LoginRefused | None] = refusal,
    ) -> None:
        self.place = place
        self._wire = wire
        self._clock = clock
        self._gate = gate
        self._lane = lane
        self._limits = limits
        self._check = check
        self.node: str | None = None  # whose BMC it is
        self._backlog = Backlog()
        self._order: Order | None = None  # the one under way
        self._session: Session | None = None
        self._attempt = 0  # numbers logins and commands, so that a late callback knows itself late
        self._ticket: Ticket | None = None
        self._waiting: Waiting | None = None  # for its turn in the lane
        self._alarm = Alarm(clock)
        self._used_at = clock.time()
        self._doubt = Doubt(place, clock, limits)
        self._former = Former[Login]()
        self._starts_low = False  # its sessions may not even look before they are raised
        # Of the order under way:
        self._course: Course | None = None  # None: it logs in
        self._silent_s = 0.0  # silence it met before its login
        self._login_at = 0.0

    @property
    def has_session(self) -> bool:
        """Whether it holds a session for us, or is being asked for one."""
        return self._session is not None

    def submit(self, order: Order) -> None:
        """Queue an order; it is answered in the end, unless it stops being wanted."""
        if order.verb is not KEEP_ALIVE:
            if self.node is not None and self.node != order.node:
                text = f"is also the BMC of node {self.node}: correct bmc.address of one of them"
                message = f"BMC {self.place} {text}"
                order.answer(Answer(Reach.REFUSED, Outcome.FAILED, message=message, is_news=False))
                return
            self.node = order.node
            self._used_at = self._clock.time()
        self._backlog.append(order)
        self._next()

    def expire(self, order: Order, after_s: float) -> None:
        """Answer an order whose time is over, by what stands between it and its answer."""
        if order.begun:
            order.answer(unacknowledged(self.place, order.verb.name, after_s))
        elif order is self._order and (self._ticket is None or self._session is not None):
            order.answer(self._silence(after_s))
        else:
            in_gate = order is self._order
            order.answer(not_asked(self.place, self._waiting is not None, in_gate, after_s))

    def tick(self) -> bool:
        """Keep a session that is used alive and close one that is not; False: nothing left to know."""
        now = self._clock.time()
        if self._order is not None or self._backlog:
            return True
        if self._session is not None:
            quiet_s = now - (self._session.heard_at or self._used_at)
            if now - self._used_at > self._limits.idle_s:
                self._hang_up()
            elif quiet_s > self._limits.keepalive_s:
                self._keep_alive()
            return True
        return self._doubt.lasts() or now - self._used_at <= self._limits.idle_s

    def leave(self) -> None:
        """Give the session back: now, or with the last of the answers it owes."""
        owed = tuple(self._all_orders())
        for order in owed:
            order.gives_back = True
        if not owed:
            self._hang_up()

    def insist(self) -> None:
        """Somebody waits for word: the next order is served, though the last ones failed."""
        self._doubt.relent()

    def close(self) -> None:
        """Give the session back; what is queued is answered as stopped."""
        text = "stopped before an answer came: what it did is not known"
        for order in self._all_orders():
            order.answer(Answer(Reach.OK, Outcome.CANCELLED, message=text, is_news=False))
        self._order = None
        if self._waiting is not None:
            self._waiting.leave()
        self._hang_up()
        self._leave_gate()

    # From order to session.

    def _next(self) -> None:
        """Serve the next order as soon as the subnet may have one more."""
        if self._order is not None or not self._backlog:
            return
        is_mutation = self._backlog.has_mutation
        if self._waiting is not None:
            if self._waiting.is_mutation or not is_mutation:
                return
            self._waiting.leave()
        self._waiting = self._lane.enter(self._take, is_mutation)
        if self._waiting is None:
            self._take()

    def _take(self) -> None:
        self._waiting = None
        while self._order is None and self._waiting is None and self._backlog:
            order = self._backlog.take()
            if self._is_over(order):
                continue
            known = self._doubt.standing_refusal(order, self._session is not None)
            if known is not None:
                order.answer(known)
                continue
            self._order = order
            self._silent_s = 0.0
            if self._session is not None and self._session.login != self._former.choose(order.login):
                self._hang_up()
            if self._session is not None:
                self._start(fresh=False)
            else:
                self._enter_gate()

    def _log_in(self) -> None:
        assert self._order is not None
        if self._is_over(self._order):
            self._done(too_late(self.place))
            return
        self._course = None
        refused = self._check(self.place)
        if refused is None:
            self._attempt += 1
            attempt = self._attempt
            login = self._former.choose(self._order.login)
            try:
                self._session = self._wire.open(
                    self.place, login, lambda refused: self._logged_in(attempt, refused)
                )
            except OSError as exc:
                refused = unsendable(exc)
        if refused is not None:
            self._refused(refused)
            return
        self._login_at = self._clock.time()
        self._alarm.set(min(_SILENT_LOGIN_S, self._limits.login_s), self._login_silent)

    def _login_silent(self) -> None:
        """Others may log in now; this one has the rest of its time, which starts anew with each step."""
        self._leave_gate()
        assert self._session is not None
        now, began_at = self._clock.time(), self._login_at - self._silent_s
        ends_at = self._session.handshake.ends_at(began_at, self._limits.login_s)
        if now < ends_at - 1e-4:  # a timer may fire a hair early
            self._alarm.set(ends_at - now, self._login_silent)
        else:
            self._fail(self._late(now - began_at))

    def _logged_in(self, attempt: int, refused: LoginRefused | None) -> None:
        if attempt != self._attempt or self._session is None or self._order is None:
            return
        self._leave_gate()
        if refused is not None:
            self._refused(refused)
            return
        self._doubt.unlock()
        self._former.settled()
        self._start(fresh=True)

    # One order over a session that stands.

    def _start(self, fresh: bool) -> None:
        assert self._order is not None
        assert self._session is not None
        self._order.served_with = self._session.terms
        verb, session = self._order.verb, self._session
        quiet_s = self._clock.time() - (session.heard_at or 0.0)
        steps = verb.steps
        if must_rise(session, verb, self._starts_low):
            steps = (rise(session.role), *steps)
        elif not verb.may_be_said_anew and not fresh and quiet_s > self._limits.quiet_s:
            steps = (PROBE, *steps)
        may_be_anew = verb.may_be_said_anew or steps is not verb.steps
        self._course = Course(steps, self._limits, is_kept=not fresh and may_be_anew)
        self._send_step()

    def _send_step(self) -> None:
        assert self._order is not None
        assert self._session is not None
        assert self._course is not None
        step = self._course.step
        if self._is_over(self._order):  # nothing more is sent for it
            self._done(None if self._order.begun else too_late(self.place))
            return
        self._attempt += 1
        attempt = self._attempt
        try:
            self._session.send(
                step.netfn, step.command, step.data, lambda reply: self._replied(attempt, reply)
            )
        except Exception as exc:  # the library found its session unfit: nothing was sent
            text = (
                f"BMC {self.place}: the session cannot be used ({type(exc).__name__}); asked anew next time"
            )
            self._fail(Answer(Reach.NO_ANSWER, Outcome.UNREACHABLE, message=text))
            return
        self._lane.spend(1)
        self._order.begun = self._order.begun or step.changes
        now = self._clock.time()
        self._course.begin(now, self._session.handshake.is_lossy)
        self._alarm.set(self._course.due_at - now, self._unanswered)

    def _unanswered(self) -> None:
        assert self._order is not None
        assert self._session is not None
        assert self._course is not None
        now = self._clock.time() + 1e-4  # a timer may fire a hair early
        if now >= self._course.failed_at:
            self._fail(self._late(self._limits.command_s))
        elif now >= self._course.stale_at:
            self._hang_up()
            self._silent_s = now - self._course.began_at
            if self._order.verb is KEEP_ALIVE:
                self._done()
            else:
                self._enter_gate()
        else:
            self._lane.spend(1)
            self._session.repeat()
            self._course.said_again(now)
            self._alarm.set(self._course.due_at - now, self._unanswered)

    def _replied(self, attempt: int, reply: Reply) -> None:
        if attempt != self._attempt or self._order is None:
            return
        assert self._session is not None
        assert self._course is not None
        self._alarm.clear()
        self._doubt.end()
        step = self._course.step
        if step.raises_to and reply.code != NODE_BUSY:
            self._raised(step.raises_to, reply.code)
        elif reply.code == LOW_PRIVILEGE and self._session.level < self._session.role:
            self._starts_low = True
            self._course.precede(rise(self._session.role))
            self._send_step()
        elif reply.code != 0 and reply.code not in step.tolerated:
            text = f"BMC {self.place} refused {self._order.verb.name}: {meaning_of(reply.code)}"
            reach = Reach.BUSY if reply.code == NODE_BUSY else Reach.OK
            self._done(Answer(reach, Outcome.FAILED, message=text))
        elif self._course.advance():
            self._send_step()
        else:
            self._order.reply = reply
            if self._order.verb.renews:
                self._former.renewed(self._order.login)
            self._done(self._sense(reply))

    def _raised(self, level: int, code: int) -> None:
        """The session may do from now on what the level may, or was refused it."""
        assert self._order is not None
        assert self._session is not None
        assert self._course is not None
        if code == 0:
            self._session.level = level
            self._order.served_with = self._session.terms
            self._course.advance()
            self._send_step()
        elif lower := lower_level(self._session, level, code):
            self._course.replace(rise(lower))
            self._send_step()
        else:
            text = f"BMC {self.place} refused {self._order.verb.name}: {meaning_of_level(level, code)}"
            self._done(Answer(Reach.OK, Outcome.FAILED, message=text))

    def _sense(self, reply: Reply) -> Answer:
        assert self._order is not None
        try:
            return Answer(Reach.OK, Outcome.OK, self._order.verb.decode(reply.data))
        except ValueError as exc:
            text = f"BMC {self.place} answered nonsense to {self._order.verb.name}: {exc}; reset the BMC"
            return Answer(Reach.REFUSED, Outcome.FAILED, message=text)

    # Endings.

    def _done(self, answer: Answer | None = None) -> None:
        order, self._order = self._order, None
        self._attempt += 1
        self._alarm.clear()
        self._leave_gate()
        if order is not None and answer is not None:
            order.answer(answer)
        if order is not None and order.gives_back and not self._backlog:
            self._hang_up()
        self._next()

    def _refused(self, refused: LoginRefused) -> None:
        assert self._order is not None
        login = self._order.login
        if refused.reach is Reach.BAD_CREDENTIALS and self._former.turn(login):
            self._hang_up()
            self._enter_gate()
            return
        answer = answer_of(refused, self.place, login)
        if refused.reach is Reach.BAD_CREDENTIALS:
            self._doubt.lock(login, answer)
        self._fail(answer, lost(answer, self._order.verb.name) if self._order.begun else None)

    def _fail(self, answer: Answer, own: Answer | None = None) -> None:
        """End the session and every order that would only learn the same.

        Args:
            own: what the order under way is told instead.
        """
        self._hang_up()
        order = self._order
        if answer.reach is not Reach.BAD_CREDENTIALS:
            self._doubt.deepen(answer)
            for waiting in self._all_orders():
                if waiting is not order:
                    waiting.answer(self._doubt.answer)
        self._done(own or answer)

    def _late(self, after_s: float) -> Answer:
        """What it is that the order under way was not answered in time."""
        order = self._order
        assert order is not None
        if order.begun:
            return unacknowledged(self.place, order.verb.name, after_s)
        return self._silence(after_s)

    def _silence(self, after_s: float) -> Answer:
        in_command = self._ticket is None and self._course is not None
        return silent(self.place, self._session, in_command, after_s)

    def _keep_alive(self) -> None:
        assert self._session is not None
        self.submit(Order("", self.place, self._session.login, KEEP_ALIVE, lambda order, answer: None))

    def _is_over(self, order: Order) -> bool:
        """Whether it was cancelled or answered, or its time is over and its timer has not rung yet."""
        return not order.wanted or self._clock.time() >= order.ends_at

    def _all_orders(self) -> Iterator[Order]:
        if self._order is not None:
            yield self._order
        yield from self._backlog

    def _hang_up(self) -> None:
        self._attempt += 1
        self._alarm.clear()
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _enter_gate(self) -> None:
        self._lane.spend(_LOGIN_PACKETS)
        self._ticket = self._gate.enter(self._log_in)

    def _leave_gate(self) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.leave()
