"""The command scan on real files, repositories and baselines, with detect-secrets itself."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.scan_corpus import Planted, draw_id, draw_secret, plant

from ecs_role_creds.cli import main
from ecs_role_creds.scan.scanner import Exclusions, scan
from ecs_role_creds.scan.sources import decode, find_files, read_file

ROOT = Path(__file__).parents[2]
RNG = random.Random(3)
ID, SECRET = draw_id(RNG), draw_secret(RNG)
PAIR = f'auth = oss2.Auth("{ID}", "{SECRET}")\n'


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: an empty folder."""
    folder = tmp_path / "tree"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def git(*arguments: str) -> str:
    own = (
        "user.name=fake",
        "user.email=fake@example.com",
        "commit.gpgsign=false",
        "core.hooksPath=",
    )
    identity = [word for setting in own for word in ("-c", setting)]
    done = subprocess.run(
        ["git", *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


class Told(NamedTuple):
    """What the command printed."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Told]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_scan(*arguments: str) -> Told:
        status = main(["scan", *arguments])
        return Told(status, *capsys.readouterr())

    return run_scan


def test_every_planted_pair_is_found_and_none_is_shown(tree: Path, run: Run) -> None:
    corpus: list[Planted] = list(plant(seed=1))
    for planted in corpus:
        (tree / planted.name).write_text(planted.content)
    told = run("--json")
    assert told.status == 1
    found = {(one["file"], one["line"], one["kind"]) for one in json.loads(told.out)}
    assert found == {
        (planted.name, line, f"Alibaba Cloud {kind}")
        for planted in corpus
        for line, kind in planted.expected
    }
    shown = told.out + told.err + run().out
    assert [key for planted in corpus for key in planted.keys if key in shown] == []


def test_what_is_printed(tree: Path, run: Run) -> None:
    (tree / "src").mkdir()
    (tree / "src/upload.py").write_text("import oss2\n\n" + PAIR)
    told = run()
    assert told.status == 1
    assert told.lines == [
        "src/upload.py:3: Alibaba Cloud AccessKey id",
        "src/upload.py:3: Alibaba Cloud AccessKey secret",
    ]
    assert "2 found. Use the instance RAM role instead" in told.err


def test_nothing_to_be_found(tree: Path, run: Run) -> None:
    (tree / "upload.py").write_text("provider = EcsRamRoleCredentialsProvider()\n")
    told = run()
    assert (told.status, told.out, told.err) == (0, "", "")
    assert json.loads(run("--json").out) == []


def test_folders_of_installed_packages_are_left_out(tree: Path, run: Run) -> None:
    for folder in (".venv/lib", "node_modules/a", ".git", "src/__pycache__"):
        (tree / folder).mkdir(parents=True)
        (tree / folder / "a.txt").write_text(PAIR)
    assert run().status == 0
    assert len(run("--all").lines) == 8
    assert run(".venv/lib/a.txt").status == 1  # a file that is named is always scanned


def test_ignored_files_are_scanned(tree: Path, run: Run) -> None:
    """What git ignores, such as .env, is just where pairs are left."""
    git("init", "-q")
    (tree / ".gitignore").write_text(".env\n")
    (tree / ".env").write_text(f"OSS_ACCESS_KEY_SECRET={SECRET}\n")
    assert run().lines == [".env:1: Alibaba Cloud AccessKey secret"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "latin-1"])
def test_encodings(tree: Path, run: Run, encoding: str) -> None:
    comment = "Schl\xfcssel" if encoding == "latin-1" else "\u5bc6\u94a5"
    (tree / "a.ini").write_bytes(f"# {comment}\r\naccess_key_secret={SECRET}\r\n".encode(encoding))
    assert run().lines == ["a.ini:2: Alibaba Cloud AccessKey secret"]


def test_binary_and_very_large_files_are_left_out(tree: Path) -> None:
    (tree / "a.bin").write_bytes(b"\0" + PAIR.encode())
    with (tree / "large.txt").open("wb") as file:
        file.write(PAIR.encode())
        file.truncate(21 * 1024 * 1024)
    assert [read_file(path) for path in find_files(["."])] == [None, None]
    assert decode(b"text") == "text"


def test_odd_names_and_contents(tree: Path, run: Run) -> None:
    content = f"\x0c\x85\u2028\x1b[31m{PAIR}\n@@ -1 +1 @@\n--- a\n+++ b\n\\ No newline\n{PAIR}"
    for name in ("a b.txt", "a\tb.txt", "a\nb.txt", "\u94a5.txt", "-a.txt", '"q".txt', "b"):
        (tree / name).write_text(content)
    told = run("--json")
    assert told.status == 1
    assert len(json.loads(told.out)) == 7 * 2
    assert {one["line"] for one in json.loads(told.out)} <= {1, 7}
    assert "\x1b" not in run().out


def test_a_comment_allows_a_line(tree: Path, run: Run) -> None:
    (tree / "a.py").write_text(PAIR.rstrip() + "  # pragma: allowlist secret\n")
    assert run().status == 0
    (tree / "a.py").write_text("# pragma: allowlist nextline secret\n" + PAIR)
    assert run().status == 0


def test_exclusions(tree: Path, run: Run) -> None:
    (tree / "a.py").write_text(PAIR)
    (tree / "b.py").write_text(PAIR)
    assert run("--exclude-files", r"a\.py$", "--exclude-files", "^b").status == 0
    assert len(run("--exclude-files", r"a\.py$").lines) == 2
    assert run("--exclude-lines", r"oss2\.Auth").status == 0


# Baselines


def test_a_baseline_holds_what_is_known(tree: Path, run: Run) -> None:
    (tree / "a.py").write_text(PAIR)
    told = run("--write-baseline", ".secrets.baseline")
    assert (told.status, told.err) == (0, ".secrets.baseline: 2 findings\n")
    written = (tree / ".secrets.baseline").read_text()
    assert ID not in written
    assert SECRET not in written
    assert str(ROOT) not in written  # it is to work on other machines
    assert run("--baseline", ".secrets.baseline").status == 0
    (tree / "a.py").write_text("\n\n\n" + PAIR)  # the lines have moved
    (tree / "b.py").write_text(f'access_key_secret = "{draw_secret(RNG)}"\n')
    told = run("--baseline", ".secrets.baseline")
    assert told.lines == ["b.py:1: Alibaba Cloud AccessKey secret"]


def test_a_baseline_brings_its_exclusions(tree: Path, run: Run) -> None:
    (tree / "a.py").write_text(PAIR)
    run("--write-baseline", "baseline.json", "--exclude-files", "^vendor/")
    (tree / "vendor").mkdir()
    (tree / "vendor/a.py").write_text(f'access_key_secret = "{draw_secret(RNG)}"\n')
    assert run("--baseline", "baseline.json").status == 0
    assert run().status == 1


def test_a_baseline_of_detect_secrets_itself(tree: Path, run: Run) -> None:
    """detect-secrets takes the detectors as its plugins, and each reads the other's baseline."""
    (tree / "a.py").write_text(PAIR.replace("oss2.Auth", "Auth"))
    (tree / "b.py").write_text(f'access_key_secret = "{SECRET}"\n')
    detector = ROOT / "ecs_role_creds/scan/detector.py"
    scanned = subprocess.run(
        [sys.executable, "-m", "detect_secrets", "scan", "-p", str(detector), "--all-files"],
        capture_output=True,
        text=True,
        check=True,
    )
    types = {one["type"] for one in json.loads(scanned.stdout)["results"]["b.py"]}
    assert "Alibaba Cloud AccessKey secret" in types
    (tree / "baseline.json").write_text(scanned.stdout)
    told = run("--baseline", "baseline.json", "b.py")
    assert (told.status, told.out) == (0, "")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"results": 1}', "\x00", None])
def test_what_is_no_baseline(tree: Path, run: Run, content: str | None) -> None:
    if content is not None:
        (tree / "baseline.json").write_text(content)
    told = run("--baseline", "baseline.json")
    assert told.status == 2
    assert "baseline.json is no baseline that detect-secrets can read." in told.err


# History


def test_history_finds_what_was_removed(tree: Path, run: Run) -> None:
    git("init", "-q", "-b", "main")
    (tree / "README.md").write_text("nothing\n")
    git("add", "-A")
    git("commit", "-qm", "begin")
    git("checkout", "-qb", "other")
    (tree / "src").mkdir()
    (tree / "src/a.py").write_text(PAIR)
    git("add", "-A")
    git("commit", "-qm", "planted")
    commit = git("rev-parse", "--short", "HEAD")
    (tree / "src/a.py").write_text("\n" + PAIR)  # another version with the same pair
    git("commit", "-qam", "moved")
    git("rm", "-q", "src/a.py")
    git("commit", "-qm", "removed")
    git("checkout", "-q", "main")
    assert run().status == 0
    expected = [
        f"{commit} src/a.py:1: Alibaba Cloud AccessKey id",
        f"{commit} src/a.py:1: Alibaba Cloud AccessKey secret",
    ]
    assert run("--history").lines == expected
    assert json.loads(run("--history", "--json").out)[0]["commit"] == commit
    (tree / "src").mkdir()
    (tree / "docs").mkdir()
    assert run("--history", "src").lines == expected
    assert run("--history", "docs").status == 0
    git("clone", "-q", "--depth", "1", f"file://{tree}", "../shallow")
    told = run("--history", "../shallow")
    assert told.status == 0
    assert "the clone at ../shallow is shallow" in told.err


def test_history_without_a_repository(tree: Path, run: Run) -> None:
    told = run("--history")
    assert told.status == 2
    assert "Run it in a git repository, or leave out --history." in told.err


# Bad input


def test_paths_that_are_not_there(tree: Path, run: Run) -> None:
    told = run("missing")
    assert told.status == 2
    assert told.err == "ecs-role-creds scan: missing is neither a file nor a folder\n"


def test_a_bad_regular_expression(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["scan", "--exclude-lines", "("])
    assert ended.value.code == 2
    assert "'(' is not a valid regular expression" in capsys.readouterr().err


def test_without_detect_secrets(tree: Path) -> None:
    script = (
        "import sys; sys.modules['detect_secrets'] = None\n"
        "from ecs_role_creds.cli import main; sys.exit(main(['scan']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "needs the package detect-secrets: pip install 'ecs-role-creds[scan]'" in done.stderr


# The hook


def test_the_hook_runs_under_pre_commit(tree: Path) -> None:
    """pre-commit checks the manifest, and runs its entry on the files of a commit."""
    yaml = pytest.importorskip("yaml")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    validated = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert validated.returncode == 0, validated.stdout
    git("init", "-q")
    # The environment that is there in place of the one that pre-commit would install.
    entry = f"{sys.executable} -m ecs_role_creds {hook['entry'].split(None, 1)[1]}"
    local = {**hook, "language": "system", "entry": entry}
    local.pop("additional_dependencies")
    config = {"repos": [{"repo": "local", "hooks": [local]}]}
    (tree / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    (tree / "clean.py").write_text("x = 1\n")
    git("add", "-A")
    assert pre_commit_run().returncode == 0
    (tree / "a.py").write_text(PAIR)
    git("add", "-A")
    failed = pre_commit_run()
    assert failed.returncode == 1
    assert "a.py:1: Alibaba Cloud AccessKey id" in failed.stdout
    assert SECRET not in failed.stdout


def pre_commit_run() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pre_commit", "run"], capture_output=True, text=True, check=False
    )


# Precision


def test_no_false_alarm_in_the_sdks_themselves() -> None:
    """In the installed packages that speak of such keys the most."""
    import alibabacloud_credentials
    import alibabacloud_oss_v2
    import botocore
    import oss2

    packages = (alibabacloud_credentials, alibabacloud_oss_v2, botocore, oss2)
    folders = [str(Path(package.__file__).parent) for package in packages]
    texts = [text for path in find_files(folders, include_all=True) if (text := read_file(path))]
    assert sum(text.content.count("\n") for text in texts) > 100_000
    assert scan(texts, Exclusions()) == []
