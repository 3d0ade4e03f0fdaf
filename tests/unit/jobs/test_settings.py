from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr, ValidationError

from console.main import main
from console.reference import setting_variables
from jobs.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = [variable for variable, field in setting_variables() if field.annotation is SecretStr]


@pytest.fixture
def hushed(tmp_path: Path) -> Path:
    """A file as an editor leaves it, with an end of line."""
    file = tmp_path / "secret"
    file.write_text("hush #1\n", encoding="utf-8")
    return file


def secret_of(settings: Settings, variable: str) -> SecretStr:
    section, field = variable.removeprefix("TICKCAST_").lower().split("__")
    secret = getattr(getattr(settings, section), field)
    assert isinstance(secret, SecretStr)
    return secret


def test_the_secrets_are_the_password_and_the_addresses_that_hold_one() -> None:
    assert SECRETS == ["TICKCAST_KAFKA__SASL_PASSWORD", "TICKCAST_REDIS__URL", "TICKCAST_POSTGRES__DSN"]


@pytest.mark.parametrize("variable", SECRETS)
def test_a_secret_may_stand_in_a_file(variable: str, hushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{variable}_FILE", str(hushed))
    assert secret_of(Settings(), variable).get_secret_value() == "hush #1"


@pytest.mark.parametrize("variable", SECRETS)
def test_a_secret_is_not_taken_from_two_places(variable: str, hushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "hush #2")
    monkeypatch.setenv(f"{variable}_FILE", str(hushed))
    with pytest.raises(ValidationError, match="not both") as refusal:
        Settings()
    assert "hush" not in str(refusal.value)


def test_a_file_that_is_not_there_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICKCAST_KAFKA__SASL_PASSWORD_FILE", str(tmp_path / "nowhere"))
    monkeypatch.setattr("sys.argv", ["tickcast", "lag"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert f"SASL_PASSWORD_FILE names {tmp_path / 'nowhere'}, which can't be read: No such file" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("variable", SECRETS)
def test_a_secret_shows_in_no_form_of_the_settings(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "hush://hush")
    settings = Settings()
    for text in (str(settings), repr(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "hush" not in text
    assert secret_of(settings, variable).get_secret_value() == "hush://hush"


@pytest.mark.parametrize("name", ["TICKCAST_KAFKA__SASL_PASSWROD", "TICKCAST_KAFKA__PARTITIONS", "TICKCAST_KAFKA"])
def test_an_error_repeats_no_value_for_it_may_be_a_secret(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, '{"hush": 1}' if name.endswith("KAFKA") else "hush")
    with pytest.raises(ValidationError) as refusal:
        Settings()
    assert "'hush'" not in str(refusal.value)
    assert "input_value" not in str(refusal.value)
