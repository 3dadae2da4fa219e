"""Mutants: the suite with one of its guards taken away, each of which the rig must catch.

`python tests/faults --mutant NAME` plays one with the faults that bring its harm out, `--all-mutants` all of
them. `python mutants.py NAME,… <console script> <words…>` is what `cluster(start=…)` puts before every
command: it runs the script with the texts of the mutants' modules replaced as they are imported, and fails
when a text is not there exactly once. Several that live in different services, or whose harms show otherwise,
may be played together: one is caught only by a finding that tells its own harm.

Where a second line of defence would hide the harm, both are taken away; where a race needs luck, the mutant
lingers between its two halves. Each says so.
"""

import importlib.util
import re
import runpy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from plans import Plan, Planned

from souk.contracts.topic import SERVICES, Service


@dataclass(frozen=True, slots=True)
class Edit:
    """In the source of `module`: `old`, which is there exactly once, becomes `new`."""

    module: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Aim:
    """What faults choose from. processes: beginnings of names; topics: none for all; shortest: seconds that
    one lasts at least, if rounds are twice as long; times: how often something outside fails at most."""

    services: Sequence[Service] = SERVICES
    servers: Sequence[str] = ("kafka", "database")
    processes: tuple[str, ...] = ("",)
    topics: Sequence[str] = ()
    shortest: float = 1.0
    times: int = 10


@dataclass(frozen=True, slots=True)
class Mutant:
    """taken: what is taken away. shows: patterns of how findings begin that tell its harm. faults: those of a
    round, by name. lives: the services that run so. rounds: within which it is caught. late: the faults come
    at its end, one by one."""

    name: str
    taken: str
    edits: tuple[Edit, ...]
    shows: tuple[str, ...]
    faults: tuple[str, ...] = ()
    aim: Aim = field(default_factory=Aim)
    lives: Sequence[Service] = SERVICES
    rounds: int = 3
    late: bool = False

    def plan(self, seed: int) -> Plan:
        """Its faults, in each of its rounds."""
        return [
            [
                Planned(turn, number, name, seed, self.name, self.late, number if self.late else 0)
                for number, name in enumerate(self.faults)
            ]
            for turn in range(self.rounds)
        ]

    def shown_in(self, findings: Sequence[str]) -> str | None:
        """The first of them that tells its harm."""
        return next((words for words in findings if any(re.match(each, words) for each in self.shows)), None)


_LAGS = r"restless: .*\b{}-worker-\d has outbox=\d+ lag=[1-9]"
"""A worker of the service never reads on."""
_APPLYING, _CONSUMER = "souk.chassis.applying", "souk.chassis.consumer"
_RANGE = "from aiokafka.coordinator.assignors.range import RangePartitionAssignor\n"
_SCATTERED = Edit(
    _CONSUMER,
    _RANGE,
    _RANGE.replace("\n", " as _Range\n")
    + """from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment


class RangePartitionAssignor(_Range):
    @classmethod
    def assign(cls, cluster, members):
        shared = _Range.assign(cluster, members)
        names = sorted(shared)
        parts = {name: dict(shared[name].assignment) for name in names}
        topics = sorted({topic for each in parts.values() for topic in each})
        return {
            name: ConsumerProtocolMemberAssignment(
                cls.version,
                [(t, parts[names[(k + t.startswith("tracking.")) % len(names)]].get(t, [])) for t in topics],
                b"",
            )
            for k, name in enumerate(names)
        }


""",
)
"""Campaigns and participations are another worker's than what tracking tells of them: no single writer hides
what a lock is for."""


_LATE_COMMITS = Edit(
    "souk.chassis.work",
    "            published, scheduled = await work.write()\n",
    """\
            published, scheduled = await work.write()
            await asyncio.sleep(os.urandom(1)[0] / 256 if published else 0)
""",
)


def _lingers(seconds: float) -> Edit:
    """A batch waits so long before it is applied."""
    begins = """\
    async with units.begin() as work:
        fresh, moved = await _pass_fence(work, intake, runs, believed)
        if fresh:
"""
    return Edit(_APPLYING, begins, f'    await __import__("asyncio").sleep({seconds})\n{begins}')


ALL = (
    Mutant(
        "position_before_apply",
        "positions are committed before their records are applied, not with them",
        (
            Edit(
                _APPLYING,
                """\
        fresh, moved = await _pass_fence(work, intake, runs, believed)
        if fresh:
""",
                """\
        fresh, moved = await _pass_fence(work, intake, runs, believed)
        await fence.move(work, intake.group, moved)
    async with units.begin() as work:
        if fresh:
""",
            ),
            Edit(
                _APPLYING,
                """\
                await _handle(work, intake, topic, list(same_topic))
        await fence.move(work, intake.group, moved)
""",
                "                await _handle(work, intake, topic, list(same_topic))\n",
            ),
        ),
        ("copy_missing billing", "copy_differs billing"),
        ("delay", "delay", "cut", "cut", *("kill_service",) * 4),
        Aim(("billing",), ("database",), ("billing-w",)),
        lives=("billing",),
    ),
    Mutant(
        "failed_batch_skipped",
        "a batch that failed is not read again",
        (
            Edit(
                _CONSUMER,
                "_LAST_RETRY)\n            self._rewind(records)\n",
                "_LAST_RETRY)\n",
            ),
        ),
        ("copy_missing notify", "copy_differs notify", _LAGS.format("notify")),
        ("cut", "cut", "cut", "kill_database"),
        Aim(("notify",), ("database",)),
        lives=("notify",),
    ),
    Mutant(
        "rest_of_batch_skipped",
        "when one partition's position has moved, the batch's other records are not read again",
        (
            Edit(
                _CONSUMER,
                "            self._take_up(moved.partitions)\n            self._rewind(records)\n",
                "            self._take_up(moved.partitions)\n",
            ),
        ),
        ("copy_missing notify", "copy_differs notify", _LAGS.format("notify")),
        ("rewind_group",) * 4,
        Aim(("notify",)),
        lives=("notify",),
    ),
    Mutant(
        "no_fence",
        "the database's positions are neither locked nor compared; a batch lingers before it is applied",
        (
            Edit(
                _APPLYING,
                "    stored = await fence.lock(work, intake.group, partitions)\n",
                "    stored = {each: believed[each] for each in partitions}\n",
            ),
            _lingers(1.5),
        ),
        ("went_back tracking position", "went_back billing position"),
        ("freeze_service", "freeze_service"),
        # Longer than Kafka waits for a worker: another one goes on with its partitions.
        Aim(processes=("tracking-w", "billing-w"), shortest=13.0),
        lives=("tracking", "billing"),
    ),
    Mutant(
        "no_version_guard",
        "a read copy takes a state that is older than what it holds; batches are small and slow, so that it "
        "is seen",
        (
            Edit("souk.chassis.store", "        where=table.c.version < statement.excluded.version,\n", ""),
            Edit(_CONSUMER, "MOST_RECORDS = 1000\n", "MOST_RECORDS = 5\n"),
            _lingers(0.1),
        ),
        ("went_back influencer", "went_back notify"),
        ("rewind_group",) * 4,
        Aim(("influencer", "notify")),
        lives=("influencer", "notify"),
    ),
    Mutant(
        "no_version_guard_in_books",
        "billing folds a fact that is older than what its item has seen",
        (
            Edit(
                "souk.billing.domain.folding",
                """\
    if item.fact.version >= fact.version:
        return []
    cause = """,
                "    cause = ",
            ),
        ),
        ("went_back ledger", "went_back billing item"),
        ("rewind_group",) * 3,
        Aim(("billing",)),
        lives=("billing",),
    ),
    Mutant(
        "topic_id_unknown",
        "neither a topic's id nor its log's end is held against a position; either alone hides the other",
        (
            Edit(
                "souk.chassis.fence",
                """\
        if not _is_of_this_log(position, first[each], ends[each])
        or position.next_offset < first[each].next_offset
""",
                "        if position.next_offset < first[each].next_offset\n",
            ),
            Edit(
                _APPLYING,
                "        or stored[each].topic_id != believed[each].topic_id\n",
                "",
            ),
            Edit(
                _CONSUMER,
                """\
            if ids.get(each.topic, position.topic_id) != position.topic_id
            or position.next_offset > log_ends[each]
            or (each in stored""",
                "            if (each in stored",
            ),
        ),
        ("copy_missing", "copy_differs", _LAGS.format(r"\w+")),
        ("recreate_topic", "recreate_topic"),
        Aim(topics=("tracking.links.v1", "influencer.participations.v1")),
        late=True,
    ),
    Mutant(
        "relay_deletes_first",
        "the relay deletes a batch, lingers and then sends it",
        (
            Edit(
                "souk.chassis.relay",
                "                in_flight.append(await _send(producer, rows))\n",
                """\
                ids = [row["id"] for row in rows]
                await connection.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", ids)
                await asyncio.sleep(0.5)
                in_flight.append(await _send(producer, rows))
""",
            ),
        ),
        ("owner_differs tracking",),
        (*("cut",) * 3, *("kill_service",) * 2),
        Aim(("tracking",), ("database",), ("tracking-w",)),
        lives=("tracking",),
    ),
    Mutant(
        "cursor_polling",
        "the outbox is read as a log: what was sent is all up to the last id, though an earlier one may "
        "commit later; a unit lingers before it commits",
        (
            _LATE_COMMITS,
            Edit(
                "souk.chassis.relay",
                "DELETE FROM outbox WHERE id = ANY($1::bigint[])",
                "DELETE FROM outbox WHERE shard = ANY(SELECT shard FROM outbox WHERE id = ANY($1::bigint[])) "
                "AND id <= (SELECT max(sent) FROM unnest($1::bigint[]) AS sent (sent))",
            ),
        ),
        ("owner_differs influencer",),
        (),
        Aim(("influencer",), ("database",)),
        lives=("influencer",),
    ),
    Mutant(
        "sent_past_an_open_row",
        "the relay sends past what lies unsent behind it, and looks there seldom; a unit lingers before it "
        "commits",
        (
            _LATE_COMMITS,
            Edit("souk.chassis.relay", "RESCAN_SECONDS = 1.0\n", "RESCAN_SECONDS = 5.0\n"),
            Edit(
                "souk.chassis.relay",
                'if rows[0]["behind"]:',
                "if not rows:",
            ),
        ),
        ("stale_last campaign",),
        lives=("campaign",),
    ),
    Mutant(
        "published_after_commit",
        "what a unit publishes is written in a transaction after its own",
        (
            Edit(
                "souk.chassis.work",
                """\
            yield work
            published, scheduled = await work.write()
        if published:
""",
                """\
            yield work
            outbox, work._outbox = work._outbox, []
            published, scheduled = await work.write()
        if outbox:
            async with self._transaction(_BEGIN[False]) as connection:
                source, topics = work._source, self._topics
                after = Work(connection, work.now, source, topics, read_only=False)
                after._outbox = outbox
                published, _ = await after.write()
        if published:
""",
            ),
        ),
        ("owner_differs campaign",),
        ("lose_answers", "lose_answers", "lose_answers", "cut", "kill_service"),
        Aim(("campaign",), ("database",), ("campaign-",)),
        lives=("campaign",),
    ),
    Mutant(
        "answered_before_commit",
        "a request is answered half a second before its unit of work is committed",
        (
            Edit(
                "souk.chassis.http",
                "WorkDep = Annotated[Work, Depends(work_of)]\n",
                """\
WorkDep = Annotated[Work, Depends(work_of)]


def _acknowledged(response: Response, unit: Unit) -> Response:
    from asyncio import sleep

    from starlette.background import BackgroundTask

    stack = unit.stack.pop_all()
    stack.push_async_callback(sleep, 0.5)
    response.background = BackgroundTask(stack.aclose)
    return response
""",
            ),
            Edit(
                "souk.chassis.http",
                "                    return await answer(request)\n",
                "                    return _acknowledged(await answer(request), unit)\n",
            ),
            Edit(
                "souk.chassis.http",
                """\
                return await idempotency.once(
                    await work_of(request), request, caller, key, lambda: answer(request)
                )
""",
                """\
                return _acknowledged(
                    await idempotency.once(
                        await work_of(request), request, caller, key, lambda: answer(request)
                    ),
                    unit,
                )
""",
            ),
        ),
        (
            "lost join",
            "lost draft",
            "lost raise",
            "lost edit",
            "lost approve",
            "lost accept",
            "lost withdraw",
        ),
        ("cut", "cut", "cut", *("kill_service",) * 4),
        Aim(("influencer", "campaign"), ("database",), ("influencer-api", "campaign-api")),
        lives=("influencer", "campaign"),
    ),
    Mutant(
        "key_stored_apart",
        "an Idempotency-Key is stored after its effect, in a transaction of its own",
        (
            Edit(
                "souk.chassis.idempotency",
                """\
    first = await work.run(_INSERT, {**where, "fingerprint": fingerprint})
""",
                """\
    known = await work.scalar(select(idempotency_key.c.key).filter_by(**where))
    first = [key] if known is None else []
""",
            ),
            Edit(
                "souk.chassis.idempotency",
                """\
    answered = {"new_status": response.status_code, "new_headers": headers, "new_body": body}
    await work.run(_ANSWER, where | answered)
    return response
""",
                """\

    async def keep() -> None:
        values = {**where, "fingerprint": fingerprint, "status": response.status_code}
        async with request.state.unit.units.begin() as apart:
            await apart.execute(
                insert(idempotency_key).values(**values, headers=headers, body=body).on_conflict_do_nothing()
            )

    from starlette.background import BackgroundTask

    response.background = BackgroundTask(keep)
    return response
""",
            ),
        ),
        ("doubled draft",),
        ("lose_answers",) * 6,
        Aim(("campaign",), ("database",)),
        lives=("campaign",),
    ),
    Mutant(
        "budget_read_before_lock",
        "billing reads accounts, lingers, locks them and decides by what it has read, once a unit, before it "
        "holds any lock, for a deadlock would undo the harm; and workers share campaigns, so that two meet",
        (
            _SCATTERED,
            Edit(
                "souk.billing.handlers.accruals",
                "    batch = await open_batch(work, {fact.campaign_id for fact in facts})\n",
                """\
    campaigns, read = sorted({fact.campaign_id for fact in facts}), []
    if globals().get("lingered") is not work:
        globals()["lingered"] = work
        read = [await work.fetch_one(store.select(store.account).filter_by(id=each)) for each in campaigns]
        await __import__("asyncio").sleep(1)
    batch = await open_batch(work, campaigns)
    batch.accounts |= {row.id: row for row in read if row}
    batch.books |= {row.id: store.open_books(row) for row in read if row and store.is_known(row)}
""",
            ),
        ),
        ("fork billing", "cost_differs account", "split_differs", "overspent", "balance_differs"),
        (),
        Aim(("billing",), ("database",)),
        lives=("billing",),
    ),
    Mutant(
        "no_placeholder_lock",
        "billing's accounts and placeholders are not locked, and it lingers; and workers share campaigns",
        (
            _SCATTERED,
            Edit(
                "souk.billing.store.books",
                ".order_by(account.c.id).with_for_update())\n",
                ".order_by(account.c.id))\n",
            ),
            Edit(
                "souk.billing.store.books",
                "    return {row.id: row for row in rows}\n",
                '    await __import__("asyncio").sleep(1)\n    return {row.id: row for row in rows}\n',
            ),
        ),
        (
            "fork billing",
            "cost_differs account",
            "split_differs",
            "overspent",
            "balance_differs",
            "lost fact",
        ),
        (),
        Aim(("billing",), ("database",)),
        lives=("billing",),
    ),
    Mutant(
        "early_facts_dropped",
        "a fact that comes before its participation is dropped; and workers share campaigns, so that it can",
        (
            _SCATTERED,
            Edit(
                "souk.billing.handlers.accruals",
                """\
    waiting[fact.id] = fact.version
    batch.waits[fact.id] = fact
""",
                "",
            ),
        ),
        ("copy_missing billing.item", "copy_differs billing.item"),
        ("freeze_service",) * 3,
        Aim(("billing",), ("database",), ("billing-w",)),
        lives=("billing",),
    ),
    Mutant(
        "codes_read_then_given",
        "the pool of referral codes is read without its lock, and it lingers before it gives one away",
        (
            Edit(
                "souk.influencer.store.codes",
                "select(referral_pool).where(referral_pool.c.campaign_id == campaign_id).with_for_update()\n",
                "select(referral_pool).where(referral_pool.c.campaign_id == campaign_id)\n",
            ),
            Edit(
                "souk.influencer.store.codes",
                "    first = pool.assigned + 1\n",
                '    await __import__("asyncio").sleep(1)\n    first = pool.assigned + 1\n',
            ),
        ),
        ("doubled code",),
        (),
        Aim(("influencer",), ("database",)),
        lives=("influencer",),
    ),
    Mutant(
        "republish_unlocked",
        "conversions are published again without their locks; it lingers between reading and writing",
        (
            Edit(
                "souk.tracking.store.conversions",
                """\
        .limit(limit)
        .with_for_update()
""",
                """\
        .limit(limit)
""",
            ),
            Edit(
                "souk.chassis.republish",
                "    work.republish(*states)\n",
                "    await __import__('asyncio').sleep(5 if states else 0)\n    work.republish(*states)\n",
            ),
        ),
        # An order is refunded once, so what comes too late is not overtaken again, as a link's clicks are.
        ("stale_last tracking.conversions",),
        ("truncate_topic",) * 3,
        Aim(topics=("tracking.conversions.v1",)),
        lives=("tracking",),
        late=True,
    ),
    Mutant(
        "spool_forgotten",
        "the redirect begins with an empty spool",
        (
            Edit(
                "souk.tracking.redirect.spool",
                "            whole = list(decode(data))\n",
                "            whole: list[Spooled] = []\n",
            ),
        ),
        ("lost click",),
        ("half_open", "half_open", "cut", *("kill_service",) * 6),
        Aim(("tracking",), ("kafka",), ("tracking-redirect",)),
        lives=("tracking",),
    ),
    Mutant(
        "replayed_under_new_ids",
        "clicks that are sent again after a restart get new ids",
        (
            Edit(
                "souk.tracking.redirect.spool",
                "            whole = list(decode(data))\n",
                """\
            from uuid import uuid4

            whole = []
            for each in decode(data):
                new = uuid4()
                value = each.value.replace(str(each.id).encode(), str(new).encode())
                whole.append(Spooled(each.partition, new, value))
            path.write_bytes(b"".join(encode(each.partition, each.id.bytes, each.value) for each in whole))
""",
            ),
        ),
        ("doubled click", "lost click"),
        ("delay", "delay", *("kill_service",) * 6),
        Aim(("tracking",), ("kafka",), ("tracking-redirect",)),
        lives=("tracking",),
    ),
    Mutant(
        "click_id_for_each_sending",
        "the redirect does not look at a click's Idempotency-Key",
        (
            Edit(
                "souk.tracking.redirect.app",
                '            if name == b"idempotency-key" and 8 <= len(value) <= 255:\n',
                '            if name == b"" and 8 <= len(value) <= 255:\n',
            ),
        ),
        ("doubled click",),
        ("freeze_service", "freeze_service", "kill_gateway", "kill_gateway"),
        Aim(processes=("tracking-redirect",)),
        lives=("tracking",),
    ),
    Mutant(
        "poll_overwrites_approved",
        "a poll asks for approved posts too, and sets their counted metrics",
        (
            Edit(
                "souk.tracking.handlers.observations",
                "    if status in rules.FOLLOWED:\n",
                '    if status in (*rules.FOLLOWED, "approved"):\n',
            ),
            Edit(
                "souk.tracking.store.contents",
                "or_(post.c.status.in_(FOLLOWED), and_(",
                'or_(post.c.status.in_((*FOLLOWED, "approved")), and_(',
            ),
        ),
        ("undone counted metrics",),
        ("move_clock",) * 4,
        lives=("tracking",),
    ),
    Mutant(
        "refund_for_each_telling",
        "a refund that is told again is another one",
        (
            Edit(
                "souk.tracking.store.conversions",
                "refund_id=given.id, lines=lines)",
                "refund_id=given.id + __import__('uuid').uuid4().hex, lines=lines)",
            ),
        ),
        ("doubled refund",),
        lives=("tracking",),
    ),
    Mutant(
        "reversal_for_each_telling",
        "a click that is taken back again is taken off its link's count again",
        (
            Edit(
                "souk.tracking.store.clicks",
                "among(click.c.id, ids), click.c.reversed != taken_back, ",
                "among(click.c.id, ids), ",
            ),
        ),
        ("count_differs",),
        lives=("tracking",),
    ),
    Mutant(
        "version_kept",
        "an approved campaign keeps its version when it is changed",
        (
            Edit(
                "souk.campaign.store.campaigns",
                ".values(version=row.version + 1, changed_at=work.now, **columns)\n",
                ".values(version=max(row.version, 2), changed_at=work.now, **columns)\n",
            ),
        ),
        ("fork campaign.campaigns",),
        lives=("campaign",),
    ),
    Mutant(
        "mail_sent_again",
        "a mail whose answer was lost is sent once more",
        (
            Edit(
                "souk.notify.channels.smtp",
                'return Outcome("unknown", "no_answer")',
                'return Outcome("again", "no_answer")',
            ),
        ),
        ("told_twice mail",),
        ("break_outside",) * 4,
        lives=("notify",),
    ),
    Mutant(
        "push_sent_again",
        "a push whose answer was lost is sent once more",
        (
            Edit(
                "souk.notify.channels.webpush",
                'return Outcome("unknown", type(error).__name__)',
                'return Outcome("again", type(error).__name__)',
            ),
        ),
        ("told_twice push",),
        ("break_outside",) * 4,
        lives=("notify",),
    ),
)

MUTANTS = {mutant.name: mutant for mutant in ALL}


def source_of(module: str) -> str:
    """Its source as it is. Raises LookupError when there is no such module."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(module)
    return Path(spec.origin).read_text()


class _Changes(MetaPathFinder):
    """Finds the modules that `edits` are about, to be loaded from their changed sources."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        edits = [each for each in self._edits if each.module == fullname]
        spec = PathFinder.find_spec(fullname, path, target) if edits else None
        if spec is not None and spec.origin is not None:
            spec.loader = _Changed(fullname, spec.origin, edits)
        return spec


class _Changed(SourceFileLoader):
    """Keeps no bytecode."""

    def __init__(self, fullname: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(fullname, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType:
        source = changed(Path(self.path).read_text(), self._edits)
        return compile(source, self.path, "exec", dont_inherit=True)


def changed(source: str, edits: Sequence[Edit]) -> str:
    """The source of the module that `edits` are about, changed by all of them.

    Raises ValueError when what one replaces is not there exactly once.
    """
    for edit in edits:
        if (found := source.count(edit.old)) != 1:
            raise ValueError(f"{edit.module} has {found} times what is to be replaced: {edit.old!r}")
        source = source.replace(edit.old, edit.new)
    return source


def launcher(names: Sequence[str]) -> tuple[str, ...]:
    """What is put before a service's command so that it runs as these mutants, where they live."""
    return (sys.executable, str(Path(__file__).resolve()), ",".join(names))


def _launch(names: str, script: str, *words: str) -> None:
    service = Path(script).name.removeprefix("souk-")
    living = [MUTANTS[name] for name in names.split(",") if service in MUTANTS[name].lives]
    # This folder is no place for a service to find modules in.
    del sys.path[0]
    sys.meta_path.insert(0, _Changes([edit for each in living for edit in each.edits]))
    sys.argv = [script, *words]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    _launch(*sys.argv[1:])
