"""Config files: overlays, overrides, types and the messages for what is wrong."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.config import dump, load_config, merge, parse_override, read_tree, to_tree
from suite.errors import BadInput


@dataclass(frozen=True)
class Inner:
    rate: float
    span: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    steps: int
    inner: Inner
    label: str | None = None


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_an_overlay_changes_only_what_it_names(write):
    write("paper.yaml", "steps: 3\ninner: {rate: 1, span: [1, 2]}\n")
    config = load_config(Outer, write("smoke.yaml", "base: paper.yaml\ninner: {rate: 5}\n"))
    assert config == Outer(steps=3, inner=Inner(rate=5.0, span=(1.0, 2.0)))


def test_dotted_overrides_win_over_files(write):
    path = write("a.yaml", "steps: 3\ninner: {rate: 1}\n")
    config = load_config(Outer, path, ["inner.rate=1e-3", "label=x", "inner.names=[a, b]"])
    assert config.inner.rate == 1e-3 and config.label == "x" and config.inner.names == ("a", "b")


def test_what_is_dumped_reads_back_equal(write):
    config = load_config(Outer, write("a.yaml", "steps: 3\ninner: {rate: .inf}\n"))
    assert load_config(Outer, write("b.yaml", dump(config))) == config


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("steps: 3\ninner: {rat: 1}", "unknown key `inner.rat`; did you mean rate?"),
        ("steps: 3\nzzz: 1\ninner: {rate: 1}", "unknown key `zzz`; known keys here: steps, inner, label"),
        ("steps: 3", "missing key `inner.rate`"),
        ("steps: three\ninner: {rate: 1}", "`steps` is 'three'; expected int"),
        ("steps: true\ninner: {rate: 1}", "`steps` is True; expected int"),
        ("steps: 3\ninner: {rate: 1, span: [1]}", "`inner.span` has 1 values, needs 2"),
        ("steps: 3\ninner: 4", "`inner` is 4; expected Inner"),
        ("steps: [", "not valid YAML"),
        ("- 1", "a config file must be a mapping"),
    ],
)
def test_a_fault_is_named_with_its_remedy(write, text, told):
    path = write("a.yaml", text)
    with pytest.raises(BadInput) as caught:
        load_config(Outer, path)
    assert told in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_overlay_each_other_are_refused(write):
    write("a.yaml", "base: b.yaml")
    with pytest.raises(BadInput, match="in a circle"):
        read_tree(write("b.yaml", "base: a.yaml"))


@dataclass(frozen=True)
class Composed(Outer):
    """A schema that lays a file's tree over a library entry, by the name in it."""

    name: str = ""

    @classmethod
    def expand(cls, tree, path):
        if tree["name"] != "known":
            raise BadInput(f"no entry {tree['name']!r}", file=path)
        return merge({"steps": 1, "inner": {"rate": 1, "names": ["below"]}}, tree)


def test_a_schema_may_compose_its_tree_below_file_and_overrides(write):
    path = write("a.yaml", "name: other\ninner: {rate: 2}\n")
    config = load_config(Composed, path, ["name=known", "inner.rate=3"])
    assert config.inner == Inner(rate=3.0, names=("below",)) and config.steps == 1
    with pytest.raises(BadInput, match="a.yaml: no entry 'other'"):
        load_config(Composed, path)


def test_what_a_schema_composes_is_checked_like_a_file(write):
    path = write("a.yaml", "name: known\nstep: 3\n")
    with pytest.raises(BadInput, match="unknown key `step`; did you mean steps"):
        load_config(Composed, path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInput, match="nowhere.yaml: cannot read the config file"):
        load_config(Outer, tmp_path / "nowhere.yaml")


trees = st.recursive(
    st.integers(), lambda t: st.dictionaries(st.sampled_from("abc"), t, max_size=3), max_leaves=8
)
mappings = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


@given(mappings, mappings, mappings)
def test_merging_is_associative_where_shapes_agree_and_the_last_one_wins(a, b, c):
    assert merge(a, {}) == a
    assert merge({}, a) == a
    assert merge(a, a) == a
    assert merge(merge(a, b), b) == merge(a, b)
    assert set(merge(merge(a, b), c)) == set(a) | set(b) | set(c)


@given(st.lists(st.sampled_from(["a", "bb", "c_d"]), min_size=1, max_size=4), st.integers())
def test_an_override_nests_by_its_dots(parts, value):
    tree = parse_override(f"{'.'.join(parts)}={value}")
    for part in parts:
        tree = tree[part]
    assert tree == value


def test_to_tree_has_no_tuples(write):
    config = load_config(Outer, write("a.yaml", "steps: 3\ninner: {rate: 1, names: [q]}\n"))
    assert to_tree(config) == {
        "steps": 3,
        "inner": {"rate": 1.0, "span": [0.0, 1.0], "names": ["q"]},
        "label": None,
    }
