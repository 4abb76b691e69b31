"""The reader that follows the tutorial does what the page says, and notices what fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.tutorial import Reader, Step, StepFailedError, steps

PAGE = """# A page

Save this as `hello.py` and run it with `python3 hello.py`:

```python no-run
print("hello from example-host")
```

A sample that nobody saves:

```python
x = 1
```

```console
$ echo one \\
    two
one two
$ true
```
"""


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    environment = {"PATH": os.environ["PATH"]}
    return Reader(tmp_path, environment, {"example-host": "127.0.0.1"}, timeout=300)


def test_steps_of_a_page() -> None:
    assert list(steps(PAGE)) == [
        Step(6, file="hello.py", content='print("hello from example-host")\n'),
        Step(6, command="python3 hello.py"),
        Step(16, command="echo one \\\n    two", output="one two\n"),
        Step(19, command="true"),
    ]


def test_a_page_is_followed(reader: Reader, tmp_path: Path) -> None:
    for step in steps(PAGE):
        reader.take(step)
    assert reader.printed == ["hello from example-host\n", "one two\n", ""]
    assert "127.0.0.1" in (tmp_path / "hello.py").read_text()


def test_a_command_that_fails(reader: Reader) -> None:
    with pytest.raises(StepFailedError, match=r"line 7: .*\nexit status 3"):
        reader.take(Step(7, command="exit 3"))


def test_output_that_differs(reader: Reader) -> None:
    with pytest.raises(StepFailedError, match="The page shows:\nyes\n"):
        reader.take(Step(7, command="echo no", output="yes\n"))


def test_output_with_an_ellipsis(reader: Reader) -> None:
    reader.take(Step(7, command="echo port 4711 is open", output="port ... is open\n"))


def test_a_console_block_that_shows_no_command() -> None:
    with pytest.raises(StepFailedError, match="line 2"):
        list(steps("```console\nno prompt\n```\n"))
