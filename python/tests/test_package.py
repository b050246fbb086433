"""What holds of the package as a whole: types, stubs, errors, start-up."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import meshchat
from meshchat import errors

PACKAGE = Path(__file__).parents[1]
CORE = PACKAGE.parent / "meshcore" / "src"


def run(*arguments: str, cwd: Path = PACKAGE / "tests") -> subprocess.CompletedProcess[str]:
    """Runs Python where the package's sources are not, so that it finds the package that is installed."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, timeout=300)


@pytest.mark.parametrize("what", ["meshchat", "tests", "../tests", "../examples/python"])
def test_types(what: str) -> None:
    check = run("-m", "mypy", "--config-file", "pyproject.toml", what, cwd=PACKAGE)
    assert check.returncode == 0, check.stdout + check.stderr


def test_stub_matches_the_module() -> None:
    check = run("-m", "mypy.stubtest", "meshchat._core")
    assert check.returncode == 0, check.stdout + check.stderr


def rust_variants(path: Path, name: str) -> list[str]:
    body = re.search(rf"pub enum {name} {{\n(.*?)\n}}", path.read_text(), re.DOTALL)
    assert body, f"{name} is not in {path}"
    return re.findall(r"^    ([A-Z]\w+)", body[1], re.MULTILINE)


def test_every_kind_of_error_has_its_class() -> None:
    kinds = rust_variants(CORE / "driver" / "error.rs", "ErrorKind")
    assert kinds == list(errors.CLASS_OF_KIND)
    assert len(set(errors.CLASS_OF_KIND.values())) == len(kinds)
    for kind, cls in errors.CLASS_OF_KIND.items():
        error = errors.error_of_kind(kind, "text")
        assert type(error) is cls and str(error) == "text"
        assert getattr(meshchat, cls.__name__) is cls
    assert type(errors.error_of_kind("New", "text")) is errors.InternalError


def test_every_status_is_known() -> None:
    text = (CORE / "types" / "status.rs").read_text()
    codes = {name.upper(): int(code) for name, code in re.findall(r"^    (\w+) = (\d+),", text, re.MULTILINE)}
    assert codes == {status.name: status.value for status in meshchat.Status}
    assert str(meshchat.Status.DELIVERED) == "delivered"


def test_every_warning_is_known() -> None:
    binding = (PACKAGE / "src" / "convert.rs").read_text()
    for variant in rust_variants(CORE / "node" / "event.rs", "Warning"):
        assert f"Warning::{variant}" in binding
    for variant in rust_variants(CORE / "node" / "event.rs", "Event"):
        assert f"Event::{variant}" in binding


def test_all_is_complete() -> None:
    public = {name for name, value in vars(meshchat).items() if isinstance(value, type)}
    assert public | {"Event", "FileEvent", "InsecureEvent", "create_network_key", "default_home", "insecure_address"} == set(meshchat.__all__)


def test_what_a_plain_chat_loads() -> None:
    """prompt_toolkit takes longer to load than all the rest; only a terminal needs it."""
    code = "import sys, meshchat.cli; sys.exit('prompt_toolkit' in sys.modules)"
    assert run("-c", code).returncode == 0
