"""Which profile a picture was sent with, as its record says: others may have written that."""

from pathlib import Path

import pytest

from cdp_image_mcp.library.record import Record
from cdp_image_mcp.studio import profiles
from tests.library.making import a_record


def sent_with(profile: str) -> Record:
    return a_record(state="generating", submitted=True, backend="chatgpt-web", profile_dir=profile)


def test_windows_is_not_asked_about_a_share_that_a_record_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(path: Path) -> None:
        raise AssertionError(f"{path} was asked about")

    monkeypatch.setattr(profiles, "WINDOWS", True)
    monkeypatch.setattr(Path, "iterdir", asked)
    assert profiles.has_another(sent_with("\\\\evil.example\\share\\p"), tmp_path)


@pytest.mark.parametrize("fault", [PermissionError(13, "Permission denied"), OSError(116, "Stale file handle")])
def test_a_profile_that_cannot_be_looked_at_was_not_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    def fails(_: Path) -> None:
        raise fault

    monkeypatch.setattr(Path, "iterdir", fails)
    assert profiles.has_another(sent_with(str(tmp_path / "other")), tmp_path / "own")
    assert not profiles.has_another(sent_with(str(tmp_path / "own")), tmp_path / "own")


def test_a_profile_that_is_gone_is_nobodys(tmp_path: Path) -> None:
    assert not profiles.has_another(sent_with(str(tmp_path / "gone")), tmp_path / "own")
