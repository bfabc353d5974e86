"""docs/troubleshooting.md quotes messages that the program has; the reader of the source finds them all."""

import re

from suite.pages.messages import Message, main, messages, template, texts
from tests.suite.pages.markdown import ROOT, code_spans, prose, rows

PAGE = "docs/troubleshooting.md"
SCRIPTS = ("workflow/run", "docker/entrypoint.sh")
# Those whose place in the program is where a user of `make` meets them first: none may be left out.
SHARED = (
    "suite/launch/",
    "suite/reproduce.py",
    "suite/tools.py",
    "suite/gpu_check.py",
    "workflow/bootstrap.py",
)
# Words of Slurm and of argparse that our line carries, and what has no message.
NOT_OURS = {"DUE TO TIME LIMIT", "did you mean", "check", "argument ...: invalid choice: ..."}


def known() -> set[str]:
    """Texts of the Python files and of the two shell scripts."""
    filled = re.compile(r"\$\([^()]*\)|\$\{[^}]*\}|\$\w+")
    shell = {filled.sub("...", (ROOT / name).read_text(encoding="utf-8")) for name in SCRIPTS}
    return texts() | {re.sub(r'" \\\s+"', " ", text) for text in shell}


def quotes() -> list[str]:
    """What the first columns say that one sees, but for the messages of other programs and the exit codes."""
    page = prose(PAGE).split("## It does not start")[1].split("## Messages of other programs")[0]
    first = [line.split(" | ")[0] for line in re.findall(r"^\| (.*`.*)$", page, flags=re.M)]
    return [quote for cell in first for quote in code_spans(cell) if quote not in NOT_OURS]


def test_every_message_on_the_page_is_one_of_the_program():
    program = "\n".join(known())
    assert len(quotes()) > 90
    assert [quote for quote in quotes() if quote not in program] == [], "see python -m suite.pages.messages"


def test_no_way_to_lack_something_in_the_shared_program_is_left_out():
    said = quotes()
    left_out = [
        message
        for message in messages()
        if message.kind == "Missing"
        and message.file.startswith(SHARED)
        and re.search(r"\w{3}", message.what.replace("...", ""))
        and not any(quote in str(message) for quote in said)
    ]
    assert left_out == []


def test_each_row_says_why_and_what_to_do():
    assert [row for row in rows(PAGE) if len(row) == 3 and not all(row)] == []


SOURCE = '''"""A docstring: no message at all."""
def check(path, count):
    """Neither is this one here."""
    if count:
        raise BadInput(f"{count} of them " "are bad", file=path, fix="take others")
    raise Missing(WHAT)
'''


def test_a_message_is_read_with_its_parts_put_together_and_open_places(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(SOURCE)
    bad = Message(kind="BadInput", file=str(path), line=5, what="... of them are bad", fix="take others")
    assert messages([path]) == [bad]  # what only a variable says is no message to be found
    assert texts([path]) == {"... of them are bad", "take others", "... of them are bad; take others"}


def test_an_expression_that_is_no_text_is_an_open_place():
    assert template(None) == "..."


def test_the_command_lists_messages_with_a_word(capsys):
    assert main(["WAIT FOR IT, or"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("BadInput suite/stage.py:") for line in lines)
    assert all("wait for it, or" in line for line in lines)
