from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from jobs.settings import KafkaSettings, Settings
from jobs.tables import RAW_MESSAGES, create_sink, create_ticks_source
from jobs.topics import Topic

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hush #1"  # noqa: S105 - of no one
VARIABLE = "TICKCAST_KAFKA__SASL_PASSWORD"


class Statements:
    """In place of a table environment: keeps what it is asked to do."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def execute_sql(self, text: str) -> None:
        self.texts.append(text)


def statements(**kafka: object) -> list[str]:
    """The SQL of a source and a sink."""
    settings = Settings(kafka=KafkaSettings(sasl_username="o'desk", **kafka))  # type: ignore[arg-type]
    tables = Statements()
    create_ticks_source(tables, "ticks", RAW_MESSAGES, settings, out_of_orderness_s=15, idle_after_s=15, gather_ms=5)
    create_sink(tables, "results", [Topic.BARS, Topic.LATE], settings, 1)
    return tables.texts


def guarded(**kafka: object) -> list[str]:
    return statements(security_protocol="SASL_SSL", ssl_ca_file="/authority.pem", **kafka)


def test_the_password_is_in_no_statement() -> None:
    for text in guarded(sasl_password=SecretStr(SECRET)):
        assert SECRET not in text
        assert f'password="${{secret:{VARIABLE}}}"' in text
        assert f"'properties.config.providers.secret.param.allowlist.pattern' = '{VARIABLE}'" in text


def test_a_password_from_a_file_is_read_by_the_workers_from_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET, encoding="utf-8")
    for text in guarded(sasl_password_file=str(file)):
        assert SECRET not in text
        assert f'password="${{secret:{tmp_path}:password}}"' in text
        assert f"'properties.config.providers.secret.param.allowed.paths' = '{tmp_path}'" in text


def test_a_file_that_the_workers_would_read_otherwise_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="ends with a line break"):
        guarded(sasl_password_file=str(file))


@pytest.mark.parametrize("sign", ['"', "\\", "\n"])
def test_a_password_that_would_end_its_quotation_is_refused_without_repeating_it(sign: str) -> None:
    with pytest.raises(ValueError, match="choose another") as refusal:
        guarded(sasl_password=SecretStr(f"hush{sign}"))
    assert "hush" not in str(refusal.value)


def test_a_users_name_with_a_quotation_mark_of_sql_stays_in_its_option() -> None:
    for text in guarded(sasl_password=SecretStr(SECRET)):
        assert "username=\"o''desk\"" in text


def test_without_a_log_on_nothing_of_it_is_there() -> None:
    for text in statements(sasl_password=SecretStr(SECRET)):
        assert "sasl" not in text
        assert "secret" not in text


def test_the_authority_is_the_one_of_the_settings() -> None:
    for text in guarded():
        assert "'properties.ssl.truststore.location' = '/authority.pem'" in text
