"""Servers that demand encryption and a password, with certificates that are made for the run."""

from __future__ import annotations

import socket
import ssl
import threading
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr

from console.stack.kafka import KafkaBroker
from console.stack.ports import free_port
from console.stack.topics import create_topics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobs.settings import KafkaSettings, Settings

USER = "desk"
HANDSHAKE_S = 10
BLOCK = 65_536
ENCRYPTION_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""With it a PostgreSQL client asks for TLS, before anything else."""


class Certificates(NamedTuple):
    """Who vouches for the servers, and who for nobody here."""

    authority: Path
    stranger: Path
    server: Path
    """Key and chain of a server called `localhost` at 127.0.0.1."""
    elsewhere: Path
    """The same of a server with another name."""


@pytest.fixture(scope="session")
def secret() -> str:
    """A password that occurs nowhere else, so that it can be looked for; awkward where quoting is forgotten."""
    return f"hush'$ #{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of an authority, as PEM files."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, stranger = trustme.CA(), trustme.CA()
    files = Certificates(*(folder / f"{name}.pem" for name in Certificates._fields))
    authority.cert_pem.write_to_path(files.authority)
    stranger.cert_pem.write_to_path(files.stranger)
    for file, names in ((files.server, ("localhost", "127.0.0.1")), (files.elsewhere, ("elsewhere.example",))):
        leaf = authority.issue_cert(*names)
        key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
        # Java reads no other form of a key.
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + b"".join(part.bytes() for part in leaf.cert_chain_pems)
        )
    return files


class DemandingBroker(KafkaBroker):
    """A broker whose clients must encrypt and log on; only it itself does without."""

    def __init__(self, home: Path, kafka: KafkaSettings, certificate: Path) -> None:
        super().__init__(home, kafka)
        self._certificate = certificate
        self._password = kafka.sasl_password.get_secret_value()

    def _write_properties(self) -> None:
        super()._write_properties()
        text = self._properties.read_text(encoding="utf-8")
        clients = f"{self._port.host}:{self._port.number}"
        own = f"127.0.0.1:{free_port()}"
        text = text.replace(f"PLAINTEXT://{clients}", f"CLIENTS://{clients},OWN://{own}")
        module = "org.apache.kafka.common.security.{}.{}LoginModule required"
        plain = f'{module.format("plain", "Plain")} user_{USER}="{self._password}";'
        properties = {
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,OWN:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "OWN",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.clients.plain.sasl.jaas.config": plain,
            "listener.name.clients.scram-sha-512.sasl.jaas.config": f"{module.format('scram', 'Scram')};",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._certificate,
        }
        text += "".join(f"{name}={value}\n" for name, value in properties.items())
        self._properties.write_text(text, encoding="utf-8")

    def _java(self, main_class: str, *arguments: str | Path) -> list[str | Path]:
        if main_class == "kafka.tools.StorageTool":
            scram = f"--add-scram=SCRAM-SHA-512=[name={USER},password={self._password}]"
            arguments = (*arguments, scram)
        return super()._java(main_class, *arguments)


@pytest.fixture(scope="session")
def secured(
    stack_settings: Settings, certificates: Certificates, secret: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Settings of a deployment whose broker runs and demands encryption and a password; its topics are there."""
    kafka = stack_settings.kafka.model_copy(
        update={
            "bootstrap_servers": f"127.0.0.1:{free_port()}",
            "topic_prefix": "guarded",
            "partitions": 2,
            "security_protocol": "SASL_SSL",
            "sasl_username": USER,
            "sasl_password": SecretStr(secret),
            "ssl_ca_file": str(certificates.authority),
        }
    )
    settings = stack_settings.model_copy(update={"kafka": kafka})
    server = DemandingBroker(tmp_path_factory.mktemp("guarded"), kafka, certificates.server)
    try:
        server.start()
        create_topics(settings)
        yield settings
    finally:
        server.stop()


class EncryptedDoor:
    """Encrypts the way to a server that can't do it itself: a plain connection to it gets no answer.

    Args:
        port: Where the server is, on loopback.
        certificate: Key and chain that are shown to clients.
        postgres: Whether clients ask for encryption first, as PostgreSQL's do.
    """

    def __init__(self, port: int, certificate: Path, *, postgres: bool = False) -> None:
        self._behind = port
        self._postgres = postgres
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._welcome, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _welcome(self) -> None:
        with suppress(OSError):  # the end of `close`
            while True:
                visitor, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(visitor,), daemon=True).start()

    def _serve(self, visitor: socket.socket) -> None:
        visitor.settimeout(HANDSHAKE_S)
        with suppress(OSError), visitor:
            if self._postgres:
                if visitor.recv(len(ENCRYPTION_REQUEST)) != ENCRYPTION_REQUEST:
                    return
                visitor.sendall(b"S")
            with (
                self._context.wrap_socket(visitor, server_side=True) as inside,
                socket.create_connection(("127.0.0.1", self._behind)) as server,
            ):
                inside.settimeout(None)
                back = threading.Thread(target=_carry, args=(server, inside), daemon=True)
                back.start()
                _carry(inside, server)
                back.join(HANDSHAKE_S)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(BLOCK):
            target.sendall(block)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
