import pytest

from experiments.sample_synthesis.seeds_figure import draw_points, main, points
from suite.manifest import write_json
from suite.tables import read_csv

pytest.importorskip("matplotlib")
VALUES = {("", "pretrained"): (0.2, 0.3), (10, "from_scratch"): (0.1, 0.2), (10, "finetuned"): (0.4, 0.6)}


@pytest.fixture
def runs(tmp_path):
    """Two seeds of QR codes, with two runs in each."""
    for seed in (0, 1):
        folder = tmp_path / f"sample-synthesis/smoke/seed{seed}/report"
        (folder / "results/qr").mkdir(parents=True)
        rows = [f"tiny (ours),{n},{arm},{v[seed]},{v[seed] + 0.1}" for (n, arm), v in VALUES.items()]
        text = "\n".join(["architecture,train_samples,train_type,run_1,run_2", *rows])
        (folder / "results/qr/results_qr.csv").write_text(text + "\n")
        line = f'"QR codes, test, stand-in","tiny, finetuned, 10 real",mAP,{10 + seed},%\n'
        (folder / "results.csv").write_text("table,row,metric,value,unit\n" + line)
        write_json(folder / "summary.json", {"objects": {"qr": {"stand_in": True}}})
    return tmp_path / "sample-synthesis/smoke"


def test_a_seed_is_a_point_at_the_mean_of_its_runs(runs):
    found = points(sorted(runs.glob("*/report")), "qr")["tiny (ours)"]
    assert found["finetuned"][10] == pytest.approx([45, 65])
    assert found["from_scratch"][10] == pytest.approx([15, 25])
    assert found["pretrained"][0] == pytest.approx([25, 35])
    assert points(sorted(runs.glob("*/report")), "face") == {}


def test_table_and_figure_are_written_and_say_stand_in_and_how_many_seeds(runs, tmp_path, capsys):
    assert main([str(runs), str(tmp_path / "docs")]) == 0
    (row,) = read_csv(tmp_path / "docs/smoke.csv")
    assert (float(row["mean"]), float(row["sd"]), row["seeds"]) == (10.5, pytest.approx(0.5**0.5), "0 1")
    text = (tmp_path / "docs/smoke.svg").read_text()
    assert "QR codes (stand-in), tiny (ours), smoke, 2 seeds" in text
    assert "matched" not in text
    assert capsys.readouterr().out.strip() == str(tmp_path / "docs/smoke.svg")


def test_equal_points_give_equal_figures(runs):
    found = points(sorted(runs.glob("*/report")), "qr")["tiny (ours)"]
    assert draw_points(found, title="a") == draw_points(found, title="a") != draw_points(found, title="b")


def test_a_folder_without_a_report_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path), str(tmp_path / "docs")]) == 2
    assert "no finished report" in capsys.readouterr().err
    assert not (tmp_path / "docs").exists()
