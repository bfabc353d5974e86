"""What `clean` may not delete: a folder that somebody works in, at whatever depth."""

import fcntl

import pytest

from suite.clean import clean
from suite.errors import BadInput


@pytest.mark.parametrize("run", ["solid/tiny/seed0", "audits/kill/killed/solid/tiny/seed0"])
def test_a_run_that_a_command_works_on_is_kept_also_below_an_audit(tmp_path, monkeypatch, capsys, run):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    folder = tmp_path / "runs" / run
    (folder / "logs").mkdir(parents=True)
    with (folder / ".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="nothing was deleted"):
            clean(force=True)
        assert folder.is_dir()
    assert clean(force=True) == 0
    assert not folder.exists()
