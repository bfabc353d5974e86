"""Programs that answer what a test tells them to."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


class Fakes:
    """A folder for PATH. `fakes("docker", {"info *": (0, "{}", "")})`: shell patterns -> exit code, stdout,
    stderr.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()

    def __call__(self, program: str, answers: dict[str, tuple[int, str, str]]) -> None:
        cases = []
        for number, (pattern, (code, out, err)) in enumerate(answers.items()):
            for name, text in (("out", out), ("err", err)):
                (self.folder / f"{program}.{number}.{name}").write_text(text)
            files = f'"{self.folder}/{program}.{number}'
            cases.append(f'"{pattern}"*) while IFS= read -r l; do echo "$l"; done <{files}.out"')
            cases.append(f'while IFS= read -r l; do echo "$l" >&2; done <{files}.err"; exit {code};;')
        script = '#!/bin/sh\ncase "$*" in\n' + "\n".join(cases) + "\n*) exit 64;;\nesac\n"
        path = self.folder / program
        path.write_text(script)
        path.chmod(0o755)
