"""Coverage-guided fuzzing of what is read from the wire, from the corpus on, by atheris.

Stops at the first input that breaks a promise, and writes it to a file that ``--replay`` takes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
LONGEST_INPUT = 8192
TOKENS = [
    *("\\x0a=== answer\\x0a", "\\x0a=== answer, kept open\\x0a", "role named", "{{x*70000}}"),
    *("HTTP/1.1 200 OK\\x0a", "HTTP/1.1 302 ", "HTTP/1.1 401 ", "HTTP/1.1 404 ", "HTTP/1.1 503 "),
    *("Content-Length: ", "Transfer-Encoding: chunked", "Content-Encoding: gzip", "Location: "),
    *("Date: ", "Retry-After: ", "Set-Cookie: ", "Content-Type: multipart/mixed; boundary=a"),
    *("Connection: close", "\\x0d\\x0a", "\\x0a\\x0a", "\\x0a ", "fake+canary+secret", "app-role"),
    *('\\"Code\\"', '\\"Success\\"', '\\"Expiration\\"', "2030-01-01T06:00:00Z", " GMT", " +0000"),
]


def main() -> None:
    """Run until the time is over, the runs are done, or something is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=-1, help="default: no limit")
    parser.add_argument("--seed", type=int, default=0, help="default: another one each time")
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that reach new code")
    parser.add_argument("--replay", type=Path, help="only try this file, or this folder's files")
    arguments = parser.parse_args()

    # What reads the answers; instrumented as it is imported.
    with atheris.instrument_imports(
        include=["ecs_role_creds", "requests", "urllib3", "http", "email", "json"]
    ):
        sys.path.insert(0, str(HERE.parent))
        from fuzz.target import try_conversation

    def try_input(data: bytes) -> None:
        try_conversation(data)

    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch, "found")
        folder.mkdir(parents=True, exist_ok=True)
        dictionary = Path(scratch, "tokens.dict")
        dictionary.write_text("".join(f'"{token}"\n' for token in TOKENS), encoding="ascii")
        options = [
            f"-max_total_time={arguments.seconds}",
            f"-runs={arguments.runs}",
            f"-seed={arguments.seed}",
            f"-max_len={LONGEST_INPUT}",
            f"-dict={dictionary}",
            "-timeout=20",
            "-print_final_stats=1",
        ]
        inputs = [str(folder), str(CORPUS)]
        if arguments.replay is not None:
            files = [arguments.replay]
            if arguments.replay.is_dir():
                files = sorted(arguments.replay.iterdir())
            options, inputs = ["-timeout=20"], [str(file) for file in files]
        atheris.Setup([sys.argv[0], *options, *inputs], try_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
