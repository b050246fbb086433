"""Keys: made, shown, compared, and refused for the right reason."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

import meshchat
from harness import KEYS, PYTHON, Namespace, World


def run(world: World, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-m", "meshchat", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        env={**world.environment(), **env},
    )


def id_of_key(name: str) -> str:
    der = subprocess.run(
        ["openssl", "pkey", "-in", KEYS / f"{name}.pem", "-pubout", "-outform", "DER"], capture_output=True, check=True
    )
    return hashlib.sha256(der.stdout).hexdigest()


def test_show_and_export(world: World) -> None:
    home = str(world.home("alice"))
    shown = run(world, "id", "show", "--home", home)
    assert (shown.returncode, shown.stdout) == (0, f"NODE_ID: {id_of_key('alice')}\n"), shown
    shown = run(world, "id", "show", "--json", MESHCHAT_HOME=home)
    assert json.loads(shown.stdout) == {"id": id_of_key("alice")}
    exported = run(world, "id", "export", "--home", home)
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=exported.stdout.encode(), capture_output=True
    )
    assert hashlib.sha256(der.stdout).hexdigest() == id_of_key("alice")


def test_words_are_the_same_on_both_sides(world: World) -> None:
    homes = {name: str(world.home(name)) for name in ("alice", "bob", "carol")}

    def words(name: str, peer: str) -> list[str]:
        shown = run(world, "id", "words", id_of_key(peer), "--home", homes[name], "--json")
        assert shown.returncode == 0, shown
        answer: dict[str, list[str]] = json.loads(shown.stdout)
        return answer["words"]

    assert len(words("alice", "bob")) == 8
    assert words("alice", "bob") == words("bob", "alice") != words("alice", "carol")
    shown = run(world, "id", "words", "bob", "--home", homes["alice"])
    assert shown.returncode == 2 and shown.stderr.count("\n") == 1


def test_a_key_is_made_once(world: World) -> None:
    home = str(world.folder("home") / "new")
    made = run(world, "id", "create", "--bits", "2048", "--home", home)
    assert made.returncode == 0 and made.stdout.startswith("NODE_ID: "), made
    assert "making a key" in made.stderr
    assert Path(home, "identity.pem").stat().st_mode & 0o777 == 0o600
    assert run(world, "id", "show", "--home", home).stdout == made.stdout
    again = run(world, "id", "create", "--bits", "2048", "--home", home)
    assert again.returncode == 1 and again.stderr.splitlines()[-1].startswith("meshchat: error: ")
    assert run(world, "id", "show", "--home", home).stdout == made.stdout
    assert run(world, "id", "create", "--bits", "1024", "--home", home + "2").returncode == 2


def test_passphrase(world: World, host: Namespace) -> None:
    home = str(world.folder("home"))
    made = run(world, "id", "create", "--bits", "2048", "--home", home, MESHCHAT_PASSPHRASE="open sesame")
    assert made.returncode == 0
    assert "ENCRYPTED" in Path(home, "identity.pem").read_text()
    assert run(world, "id", "show", "--home", home, MESHCHAT_PASSPHRASE="open sesame").stdout == made.stdout
    file = world.folder("secret") / "passphrase"
    file.write_text("open sesame\nnot this line\n")
    assert run(world, "id", "show", "--home", home, "--passphrase-file", str(file)).stdout == made.stdout

    for command in (["id", "show"], ["chat", "--plain"]):
        wrong = run(world, *command, "--home", home, MESHCHAT_PASSPHRASE="close sesame")
        assert wrong.returncode == 1 and "passphrase" in wrong.stderr and "Traceback" not in wrong.stderr
        missing = run(world, *command, "--home", home)
        assert missing.returncode == 1 and "passphrase" in missing.stderr and "Traceback" not in missing.stderr


def test_passphrase_is_asked_for_on_a_terminal(world: World, host: Namespace) -> None:
    home = world.folder("home")
    create = world.start(
        host, PYTHON, "-m", "meshchat", "id", "create", "--protect", "--bits", "2048", "--home", home, terminal=True
    )
    for prompt in ("New passphrase: ", "The same again: "):
        create.wait_for_prompt(prompt)
        create.press("open sesame\n")
    node_id = create.node_id()
    assert create.end() == 0
    show = world.start(host, PYTHON, "-m", "meshchat", "id", "show", "--home", home, terminal=True)
    show.wait_for_prompt("Passphrase of the key: ")
    show.press("open sesame\n")
    assert show.node_id() == node_id


@pytest.mark.parametrize("command", [["id", "show"], ["chat", "--plain"]])
def test_keys_that_are_refused(world: World, command: list[str]) -> None:
    home = world.home("alice")
    path = home / "identity.pem"
    path.chmod(0o644)
    refused = run(world, *command, "--home", str(home))
    assert refused.returncode == 1 and "chmod" in refused.stderr and str(path) in refused.stderr, refused
    path.chmod(0o600)
    text = path.read_text()
    for content in ("", "no key\n", text[: len(text) // 2], text.replace("M", "N"), "\x00" * 3000):
        path.write_text(content)
        refused = run(world, *command, "--home", str(home))
        assert refused.returncode == 1 and str(path) in refused.stderr, refused
        assert refused.stderr.count("\n") == 1 and "Traceback" not in refused.stderr
        assert path.read_text() == content, "a file that cannot be read is never replaced"


def test_exceptions(world: World) -> None:
    home = world.folder("home")
    assert not meshchat.Identity.exists(home)
    with pytest.raises(meshchat.NoKeyError):
        meshchat.Identity.load(home)
    made = meshchat.Identity.create(home, bits=2048, passphrase="open sesame")
    assert meshchat.Identity.exists(home)
    with pytest.raises(meshchat.KeyExistsError):
        meshchat.Identity.create(home, bits=2048)
    with pytest.raises(meshchat.PassphraseNeededError):
        meshchat.Identity.load(home)
    with pytest.raises(meshchat.WrongPassphraseError):
        meshchat.Identity.load(home, passphrase="close sesame")
    assert meshchat.Identity.load(home, passphrase="open sesame").id == made.id
    with pytest.raises(meshchat.ArgumentError):
        made.safety_words("abc")
    with pytest.raises(meshchat.ArgumentError):
        meshchat.Identity.create(world.folder("other"), bits=1024)
    (home / "identity.pem").chmod(0o640)
    with pytest.raises(meshchat.KeyTooOpenError):
        meshchat.Identity.load(home)
