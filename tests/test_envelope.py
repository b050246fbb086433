"""Envelopes, between this program and another implementation of COSE: pycose, by what docs/PROTOCOL.md says."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import cbor2
import pytest
from pycose.algorithms import A256GCM, Ps256, RsaesOaepSha256
from pycose.headers import IV, Algorithm
from pycose.keys.cosekey import CoseKey
from pycose.messages.cosemessage import CoseMessage
from pycose.messages.encmessage import EncMessage
from pycose.messages.recipient import KeyWrap
from pycose.messages.sign1message import Sign1Message

from harness import KEYS, REPOSITORY

VECTORS = REPOSITORY / "meshcore/tests/vectors/envelope.json"
VECTOR_KEYS = REPOSITORY / "meshcore/tests/keys/message"
AAD = b"MeshChat envelope v1"
TEXT = 1
STEPS = [step << power for power in range(9, 19) for step in (3, 4)] + [(1 << 20) + 2048]
TEXTS = ["a", "Ahoj, světe 🦀\n", "x" * 1000, "0123456789abcdef" * 65536]


class Letter(NamedTuple):
    sender: str
    recipient: str
    id: bytes
    sent_at: int
    kind: int
    content: bytes


def public_pem(private: Path) -> str:
    command = ["openssl", "pkey", "-in", str(private), "-pubout"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def spki(pem: str) -> bytes:
    command = ["openssl", "pkey", "-pubin", "-outform", "DER"]
    return subprocess.run(command, input=pem.encode(), capture_output=True, check=True).stdout


def node_id(private: Path) -> str:
    return hashlib.sha256(spki(public_pem(private))).hexdigest()


def payload(sender: Path, letter: Letter, padding: int) -> list[Any]:
    return [
        1,
        bytes.fromhex(letter.recipient),
        spki(public_pem(sender)),
        letter.id,
        letter.sent_at,
        letter.kind,
        letter.content,
        bytes(padding),
    ]


def sign(sender: Path, content: bytes, aad: bytes = AAD) -> bytes:
    message = Sign1Message(phdr={Algorithm: Ps256}, payload=content, external_aad=aad)
    message.key = CoseKey.from_pem_private_key(sender.read_text())
    return message.encode()


def encrypt(recipient: str, plaintext: bytes) -> bytes:
    """Encrypts for the public key `recipient`, in PEM."""
    wrap = KeyWrap(uhdr={Algorithm: RsaesOaepSha256})
    wrap.key = CoseKey.from_pem_public_key(recipient)
    header = {IV: os.urandom(12)}
    return EncMessage(phdr={Algorithm: A256GCM}, uhdr=header, payload=plaintext, recipients=[wrap]).encode()


def decrypt(recipient: Path, envelope: bytes) -> bytes:
    message = CoseMessage.decode(envelope)
    assert isinstance(message, EncMessage)
    assert (message.phdr, set(message.uhdr)) == ({Algorithm: A256GCM}, {IV})
    (wrap,) = message.recipients
    assert (wrap.phdr, wrap.uhdr) == ({}, {Algorithm: RsaesOaepSha256})
    wrap.key = CoseKey.from_pem_private_key(recipient.read_text())
    return message.decrypt(wrap)


def verify(plaintext: bytes) -> Letter:
    message = CoseMessage.decode(plaintext)
    assert isinstance(message, Sign1Message)
    assert (message.phdr, message.uhdr) == ({Algorithm: Ps256}, {})
    assert message.payload is not None
    version, recipient, sender, id, sent_at, kind, content, padding = cbor2.loads(message.payload)
    assert version == 1 and not any(padding)
    command = ["openssl", "pkey", "-pubin", "-inform", "DER"]
    pem = subprocess.run(command, input=sender, capture_output=True, check=True).stdout
    message.key = CoseKey.from_pem_public_key(pem.decode())
    message.external_aad = AAD  # type: ignore[misc]  # it has a setter
    assert message.verify_signature()
    return Letter(hashlib.sha256(sender).hexdigest(), recipient.hex(), id, sent_at, kind, content)


def envelope(*arguments: str | Path, input: bytes) -> bytes:
    """Runs the example in Rust."""
    program = os.environ.get("MESHCHAT_ENVELOPE") or REPOSITORY / "target/debug/examples/envelope"
    if not Path(program).is_file():
        raise FileNotFoundError(f"{program} is missing: run make test-end-to-end, or set MESHCHAT_ENVELOPE")
    done = subprocess.run([program, *arguments], input=input, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("text", TEXTS, ids=len)
def test_pycose_opens_what_we_sealed(text: str, tmp_path: Path) -> None:
    alice, bob = KEYS / "alice.pem", KEYS / "bob.pem"
    public = tmp_path / "bob.pem"
    public.write_text(public_pem(bob))
    before = time.time_ns() // 1_000_000
    sealed = envelope("seal", alice, public, input=text.encode())
    plaintext = decrypt(bob, sealed)
    letter = verify(plaintext)
    assert letter[:2] == (node_id(alice), node_id(bob))
    assert letter[4:] == (TEXT, text.encode())
    assert before <= letter.sent_at <= time.time_ns() // 1_000_000
    unpadded = sign(alice, cbor2.dumps(payload(alice, letter, 0)))
    assert len(plaintext) == min(step for step in STEPS if step >= len(unpadded))


@pytest.mark.parametrize("padding", [0, 1, 300])
@pytest.mark.parametrize("text", TEXTS, ids=len)
def test_we_open_what_pycose_sealed(text: str, padding: int) -> None:
    alice, bob = KEYS / "alice.pem", KEYS / "bob.pem"
    letter = Letter(node_id(alice), node_id(bob), os.urandom(16), 1_700_000_000_000, TEXT, text.encode())
    sealed = encrypt(public_pem(bob), sign(alice, cbor2.dumps(payload(alice, letter, padding))))
    opened = envelope("open", bob, input=sealed)
    head = f"from: {letter.sender}\nid: {letter.id.hex()}\nsent at: {letter.sent_at}\n\n"
    assert opened.decode() == head + text


def test_pycose_opens_the_vectors() -> None:
    letters = json.loads(VECTORS.read_text())["letters"]
    assert letters
    for vector in letters:
        letter = verify(decrypt(VECTOR_KEYS / vector["recipient"], bytes.fromhex(vector["hex"])))
        assert letter == Letter(
            vector["sender_id"],
            node_id(VECTOR_KEYS / vector["recipient"]),
            bytes.fromhex(vector["id"]),
            int(vector["sent_at"]),
            vector["kind"],
            bytes.fromhex(vector["content"]),
        ), vector["name"]
