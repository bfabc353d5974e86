from __future__ import annotations

import pytest

from experiments.gafi.seeds_figure import accuracies, chance, draw_accuracies, main
from suite.tables import read_csv

pytest.importorskip("matplotlib")
HEAD = "table,row,metric,value,unit\n"


@pytest.fixture
def runs(tmp_path):
    """Two seeds: CAS of one classifier, a figure that is no accuracy, and accuracies of four classes."""
    for seed, value in enumerate((0.5, 0.7)):
        folder = tmp_path / f"gafi/small/seed{seed}/report"
        folder.mkdir(parents=True)
        rows = f"CAS,MultiGAN,accuracy,{value},fraction\nCAS,MultiGAN,gap,{value * 100},points\n"
        rows += "".join(f"per class,{name},{label},0.5,fraction\n" for name in "ab" for label in range(4))
        (folder / "results.csv").write_text(HEAD + rows)
    return tmp_path / "gafi/small"


def test_the_table_has_mean_and_sample_deviation_and_the_figure_a_point_per_seed(runs, tmp_path):
    assert main([str(runs), str(tmp_path / "docs")]) == 0
    first, second, *_ = read_csv(tmp_path / "docs/small.csv")
    assert (first["row"], first["metric"], first["seeds"]) == ("MultiGAN", "accuracy", "0 1")
    assert float(first["mean"]) == pytest.approx(0.6)
    assert float(first["sd"]) == pytest.approx(0.02**0.5)
    assert second["metric"] == "gap"
    assert "MultiGAN" in (tmp_path / "docs/small.svg").read_text()


def test_only_accuracies_on_test_are_drawn(runs):
    found = accuracies(sorted(runs.glob("*/report")))
    assert found == {"MultiGAN": [0.5, 0.7]}
    drawn = [draw_accuracies(found, title="two seeds", guessing=g) for g in (0.25, 0.25, None)]
    assert drawn[0] == drawn[1]
    assert ["dotted: chance" in text for text in drawn] == [True, True, False]


def test_chance_is_one_over_the_classes_of_the_run(runs):
    report = runs / "seed0/report"
    assert chance(report) == 0.25
    (report / "results.csv").write_text(HEAD + "CAS,MultiGAN,accuracy,0.5,fraction\n")
    assert chance(report) is None


def test_a_folder_without_a_report_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path), str(tmp_path / "docs")]) == 2
    assert "no finished report" in capsys.readouterr().err
    assert not (tmp_path / "docs").exists()
