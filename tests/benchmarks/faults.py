"""Each fault of the service in turn: its effect on 64 threads, and the time until recovery."""

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
KEEPS_NONE = "keeps no connection"
DOES_NOT_APPLY = {
    (HARDENING_ONLY, OSS2): "uses the normal mode only",
    (CLOSING_IDLE, OSS2): KEEPS_NONE,
    (CLOSING_IDLE, BOTOCORE): KEEPS_NONE,
    (CLOSING_IN_USE, OSS2): KEEPS_NONE,
    (CLOSING_IN_USE, BOTOCORE): KEEPS_NONE,
}
HOW = (
    "64 threads call every 5 ms, from before the fault begins until there are new credentials. "
    "Sockets and time are real; only the age of the credentials is simulated."
)
WHAT = (
    "**requests**: those that the service received during the fault. **pending backoff**: how long "
    "after the end of the fault the service may be asked again. **recovery**: how long after the "
    "end there are new credentials. If a fetch succeeds despite the fault, fetches are repeated "
    "until the fault ends."
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
    """The pending backoff, and the time until recovery."""
    recovery = seen.recovery
    if recovery is None or recovery.took is None:
        return ["?", "none"]
    if recovery.took == 0:
        return ["none", "before the end"]
    if recovery.was_fetching and not recovery.failed:
        return ["none, fetching", seconds(recovery.took)]
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
    rows.append(["longest", *[""] * 4, seconds(worst), seconds(worst_beside), *[""] * 3])
    return Section(
        "faults",
        "Faults while the credentials are valid",
        f"`ecs_role_creds`, with {INSIDE_THE_WINDOW:g} s of life left when the fault begins. The "
        f"fault lasts {lasts:g} s, or until a fetch has failed. {HOW} The floor is a method that "
        "reads a clock, compares and returns. Each thread calls it after each call of the "
        f"provider, so both run under the same load. {WHAT}",
        [
            "fault",
            "calls",
            "failed",
            "torn",
            "expired",
            "longest call",
            "longest call of the floor",
            "requests",
            "pending backoff",
            "recovery",
        ],
        rows,
    )


def faults_beyond(scale: Scale) -> Section:
    """Each fault, from inside the refresh window until after expiration."""
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
        f"The same with {NEARLY_OVER:g} s of life left. The fault lasts {lasts:g} s, or until a "
        "call raises an error. After the credentials have expired, callers wait for one attempt, "
        "for at most the deadline of 2 s, and get its error. Later calls get that error at once. "
        f"{WHAT}",
        [
            "fault",
            "calls",
            "failed",
            "while valid",
            "torn, expired",
            "longest call",
            "while valid",
            "requests",
            "pending backoff",
            "recovery",
        ],
        rows,
    )


def faults_of_peers(scale: Scale) -> Section:
    """Each fault, for every client."""
    lasts = 0.4 if scale.is_quick else 1.2
    rows = [
        [fault.name, *(_cell(peer, fault, lasts) for peer in PEERS)]
        for fault in (ROLE_AWAY if fault is ROLE_LOST else fault for fault in FAULTS)
        if fault is not SESSION_TOKENS_LOST
    ]
    return Section(
        "faults-of-peers",
        "Faults, for every client",
        f"The credentials have {LATE:g} s of life left; each fault lasts {lasts:g} s; 64 threads "
        "call every 5 ms. Each cell shows the longest call. Three figures after it are the calls "
        "that failed, the calls that returned expired credentials, and the torn tokens; they are "
        "left out if all are 0. ≥ means that the call took at least 90 % of the fault: in a longer "
        "fault it would take longer. Each client is given the name of the role. For time-outs, and "
        "for the clients that wait by design, see *Outage while the credentials are valid*.",
        ["fault", *(peer.name for peer in PEERS)],
        rows,
        notes=[
            f"{SESSION_TOKENS_LOST.name}: not measured, because only {OURS.name} keeps a session "
            "token between fetches."
        ],
    )


def _cell(peer: Peer, fault: Fault, lasts: float) -> str:
    if (fault, peer) in DOES_NOT_APPLY:
        return DOES_NOT_APPLY[fault, peer]
    with fresh_start(), aged_server(Ageing()) as server:
        built = peer.build(server.endpoint, True)
        subject = Subject(built.get, peer.parts, built.age)
        seen = run_fault(fault, server, subject, left=LATE, lasts=lasts, threads=THREADS)
    counts = (seen.failed, seen.expired, seen.torn)
    is_cut = fault.error is not None and seen.longest > 0.9 * lasts
    longest = "≥ " * is_cut + seconds(seen.longest)
    return f"{longest}; {' / '.join(map(str, counts))}" if any(counts) else longest
