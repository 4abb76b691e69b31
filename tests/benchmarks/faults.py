"""Each fault of the service in turn: what 64 threads notice of it, and how soon it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers import ALIBABA, BOTOCORE, GUIDE, OSS2, OURS, Floor, Parts, Peer, fresh_start
from report import Section, seconds
from support.faults import (
    CLOSING_IDLE,
    CLOSING_IN_USE,
    FAULTS,
    HARDENING_ONLY,
    ROLE,
    ROLE_LOST,
    SESSION_TOKENS_LOST,
    Ageing,
    Fault,
    Observed,
    Subject,
    aged_provider,
    aged_server,
    run_fault,
)

from ecs_role_creds.clock import boottime

if TYPE_CHECKING:
    from scenarios import Scale

THREADS = 64
INSIDE_THE_WINDOW = 1300.0
NEARLY_OVER = 1.0
LATE = 590.0
PEERS = (OURS, OSS2, ALIBABA, GUIDE, BOTOCORE)
ROLE_AWAY = ROLE_LOST._replace(
    name="role lost, for a while", end=lambda service: service.attach(ROLE)
)
KEEPS_NONE = "keeps none"
DOES_NOT_APPLY = {
    (HARDENING_ONLY, OSS2): "has the normal mode only",
    (CLOSING_IDLE, OSS2): KEEPS_NONE,
    (CLOSING_IDLE, BOTOCORE): KEEPS_NONE,
    (CLOSING_IN_USE, OSS2): KEEPS_NONE,
    (CLOSING_IN_USE, BOTOCORE): KEEPS_NONE,
}
HOW = (
    "64 threads call every 5 ms from before its begin until new credentials are there. Everything "
    "is on real sockets and in real time; only the age of the credentials is made up."
)
WHAT = (
    "*Requests* are those received while it lasts. *Back-off pending* is how long after its end "
    "the service may first be asked, *recovery* how long after it there are new credentials. "
    "Faults that a fetch copes with are met by one fetch after another."
)


def _run(fault: Fault, left: float, lasts: float) -> Observed:
    ageing = Ageing()
    floor = Floor(boottime, Parts("", "", ""))
    with aged_server(ageing) as server:
        return run_fault(
            fault,
            server,
            aged_provider(server, ageing),
            left=left,
            lasts=lasts,
            threads=THREADS,
            beside=floor.get_credentials,
        )


def _recovery(seen: Observed) -> list[str]:
    """The back-off that was pending, and the time it took."""
    recovery = seen.recovery
    if recovery is None or recovery.took is None:
        return ["?", "did not come"]
    if recovery.took == 0:
        return ["none", "before its end"]
    if recovery.was_fetching and not recovery.failed:
        return ["none: fetching", seconds(recovery.took)]
    return [seconds(recovery.pending), seconds(recovery.took)]


def faults(scale: Scale) -> Section:
    """Each fault, inside the refresh window."""
    lasts = 0.5 if scale.is_quick else 2.0
    rows, worst, worst_beside = [], 0.0, 0.0
    for fault in FAULTS:
        seen = _run(fault, INSIDE_THE_WINDOW, lasts)
        worst, worst_beside = max(worst, seen.longest), max(worst_beside, seen.longest_beside)
        rows.append(
            [
                fault.name,
                *map(str, (seen.calls, seen.failed, seen.torn, seen.expired)),
                seconds(seen.longest),
                seconds(seen.longest_beside),
                str(seen.requests),
                *_recovery(seen),
            ]
        )
    return Section(
        "faults",
        "Faults while the credentials are valid",
        f"`ecs_role_creds`, with {INSIDE_THE_WINDOW:g} s of life left as the fault begins; it "
        f"lasts {lasts:g} s, or until a fetch has failed. {HOW} The floor is a method that reads a "
        "clock, compares and returns; each thread calls it after each call, so that it meets the "
        f"same load. {WHAT}",
        [
            "the service is / does",
            "calls",
            "failed",
            "torn",
            "expired",
            "longest call",
            "longest of the floor's",
            "requests",
            "back-off pending",
            "recovery",
        ],
        rows,
        notes=[
            f"The longest call of all took {seconds(worst)}; the floor's {seconds(worst_beside)}."
        ],
    )


def faults_beyond(scale: Scale) -> Section:
    """Each fault, from inside the refresh window until after the credentials' end."""
    lasts = 1.5 if scale.is_quick else 2.5
    rows = []
    for fault in FAULTS:
        seen = _run(fault, NEARLY_OVER, lasts)
        rows.append(
            [
                fault.name,
                *map(str, (seen.calls, seen.failed, seen.failed_while_valid)),
                f"{seen.torn}, {seen.expired}",
                seconds(seen.longest),
                seconds(seen.longest_while_valid),
                str(seen.requests),
                *_recovery(seen),
            ]
        )
    return Section(
        "faults-beyond",
        "Faults that outlast the credentials",
        f"The same with {NEARLY_OVER:g} s of life left; the fault lasts {lasts:g} s, or until a "
        "caller has an error. After their end callers wait for one attempt, for the deadline of "
        f"at most 2 s, and get its error; later ones get it at once. {WHAT}",
        [
            "the service is / does",
            "calls",
            "failed",
            "while valid",
            "torn, expired",
            "longest call",
            "while valid",
            "requests",
            "back-off pending",
            "recovery",
        ],
        rows,
    )


def faults_of_peers(scale: Scale) -> Section:
    """Each fault, for everybody."""
    lasts = 0.4 if scale.is_quick else 1.2
    rows = [
        [fault.name, *(_cell(peer, fault, lasts) for peer in PEERS)]
        for fault in (ROLE_AWAY if fault is ROLE_LOST else fault for fault in FAULTS)
        if fault is not SESSION_TOKENS_LOST
    ]
    return Section(
        "faults-of-peers",
        "Faults, for everybody",
        f"With {LATE:g} s of life left in the credentials; each fault lasts {lasts:g} s; 64 "
        "threads call every 5 ms. Shown is the longest call; then, where there were any, how many "
        "calls failed, how many gave expired credentials, and how many tokens were torn. *Over*: "
        "somebody waited for as long as the fault lasted, or nearly. Everybody is told the name of "
        "the role. Time-outs, and who waits by design, are those of *Outage while the credentials "
        "are valid*.",
        ["the service is / does", *(peer.name for peer in PEERS)],
        rows,
        notes=[f"{SESSION_TOKENS_LOST.name}: left out; only {OURS.name} keeps any for long."],
    )


def _cell(peer: Peer, fault: Fault, lasts: float) -> str:
    if (fault, peer) in DOES_NOT_APPLY:
        return DOES_NOT_APPLY[fault, peer]
    with fresh_start(), aged_server(Ageing()) as server:
        built = peer.build(server.endpoint, True)
        subject = Subject(built.get, peer.parts, built.age)
        seen = run_fault(fault, server, subject, left=LATE, lasts=lasts, threads=THREADS)
    counts = {"failed": seen.failed, "expired": seen.expired, "torn": seen.torn}
    found = [f"{count} {name}" for name, count in counts.items() if count]
    is_cut = fault.error is not None and seen.longest > 0.9 * lasts
    return ", ".join(["over " * is_cut + seconds(seen.longest), *found])
