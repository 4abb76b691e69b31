"""What holds for every command: help, completion, exit status, start-up."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ecs_role_creds.cli import main
from ecs_role_creds.cli.main import COMMANDS
from ecs_role_creds.settings import ENDPOINT

ROOT = Path(__file__).parents[2]
NOBODY = {ENDPOINT: "http://127.0.0.1:9"}


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **NOBODY, "COLUMNS": "80", **environ},
    )


# Help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"\n  $ ecs-role-creds {name}" in told


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    for name, summary in COMMANDS.items():
        assert f"{name} {summary}" in told


def test_the_module_is_the_command() -> None:
    script = str(Path(sys.executable).with_name("ecs-role-creds"))
    for arguments in (["--help"], ["doctor", "--help"], ["--version"], ["doctor", "--json"], []):
        by_module = run(sys.executable, "-m", "ecs_role_creds", *arguments)
        by_script = run(script, *arguments)
        assert by_module.stdout == by_script.stdout
        assert by_module.stderr == by_script.stderr
        assert by_module.returncode == by_script.returncode


def test_the_reference_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("page", ROOT / "docs/tools/command_line.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    written = (ROOT / "docs/reference/command-line.md").read_text(encoding="utf-8")
    assert written == page.build_page(), "run: make reference"


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dcotor"])
    assert ended.value.code == 2
    assert "dcotor" in capsys.readouterr().err


# Start-up


IMPORTS = """
import json, sys
sys.argv = ["ecs-role-creds", *sys.argv[1:]]
from ecs_role_creds.cli import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_no_more_than_it_needs(arguments: list[str]) -> None:
    """What keeps ``--help`` fast: no HTTP client, no SDK, and no other command."""
    done = run(sys.executable, "-c", IMPORTS, *arguments)
    modules = set(json.loads(done.stderr.splitlines()[-1]))
    heavy = {"requests", "urllib3", "ssl", "http.client", "asyncio", "email", "socket", "oss2"}
    assert modules & heavy == set()
    assert not {"detect_secrets", "shtab", "importlib.metadata"} & modules
    others = {name.replace("-", "_") for name in COMMANDS if name not in arguments}
    assert not {f"ecs_role_creds.cli.{name}" for name in others} & modules


# How it ends


def test_a_reader_that_ends_early() -> None:
    """``ecs-role-creds doctor | head -1`` leaves no traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ecs_role_creds", "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **NOBODY},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=300) == 1
    assert told == b""


def test_ctrl_c(tmp_path: Path) -> None:
    """While it waits for a file, here a pipe that nobody writes to."""
    waited_for = tmp_path / "baseline.json"
    os.mkfifo(waited_for)
    process = subprocess.Popen(
        [sys.executable, "-m", "ecs_role_creds", "scan", "--baseline", str(waited_for)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    with waited_for.open("w"):  # once the other end is open
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
        process.stderr.close()
        assert process.wait(timeout=300) == 128 + signal.SIGINT
    assert told == b""


# Completion


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The completion script of each shell."""
    folder = tmp_path_factory.mktemp("completion")
    paths = {}
    for shell in ("bash", "zsh", "fish"):
        done = run(sys.executable, "-m", "ecs_role_creds", "completion", shell)
        assert done.returncode == 0, done.stderr
        paths[shell] = folder / shell
        paths[shell].write_text(done.stdout)
    return paths


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


BASH = """
source "$1"
complete -p ecs-role-creds >/dev/null || exit 9
offered() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    $(complete -p ecs-role-creds | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    printf '%s\\n' "${COMPREPLY[@]}"
}
offered ecs-role-creds "" ; echo --
offered ecs-role-creds doctor --re ; echo --
offered ecs-role-creds fake-metadata --mode hard
"""


def test_completion_in_bash(scripts: dict[str, Path]) -> None:
    done = run(shell("bash"), "-c", BASH, "bash", str(scripts["bash"]))
    assert done.returncode == 0, done.stderr
    commands, options, modes = (part.split() for part in done.stdout.split("--\n"))
    assert set(COMMANDS) <= set(commands)
    assert set(options) == {"--report", "--region"}
    assert modes == ["hardening-only"]


def test_completion_in_fish(scripts: dict[str, Path]) -> None:
    def offered(typed: str) -> set[str]:
        done = run(shell("fish"), "-c", f"source {scripts['fish']}; complete -C '{typed}'")
        assert done.returncode == 0, done.stderr
        return {line.split("\t")[0] for line in done.stdout.splitlines()}

    assert set(COMMANDS) <= offered("ecs-role-creds ")
    assert offered("ecs-role-creds doctor --re") == {"--report", "--region"}


ZSH = """
autoload -Uz compinit && compinit -u -D
eval "$(cat "$1")"
print -r -- ${_comps[ecs-role-creds]}
"""


def test_completion_in_zsh(scripts: dict[str, Path]) -> None:
    zsh = shell("zsh")
    assert run(zsh, "-n", str(scripts["zsh"])).returncode == 0
    done = run(zsh, "-f", "-c", ZSH, "zsh", str(scripts["zsh"]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["_shtab_ecs_role_creds"]
    for name, summary in COMMANDS.items():
        assert f"{name}:'{summary}'" in scripts["zsh"].read_text()


def test_completion_without_shtab() -> None:
    script = (
        "import sys; sys.modules['shtab'] = None\n"
        "from ecs_role_creds.cli import main; sys.exit(main(['completion', 'bash']))"
    )
    done = run(sys.executable, "-c", script)
    assert done.returncode == 2
    assert "pip install 'ecs-role-creds[completion]'" in done.stderr
