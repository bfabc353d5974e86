"""Slurm's programs as far as a launcher uses them: `fake_slurm.py sbatch|squeue|scancel|scontrol`, all here.

Jobs lie in $FAKE_SLURM as <number>.json; tasks run one after the other in a process of their own. Files there
change the behaviour: `reject` (sbatch says its text and fails), `down` (squeue fails), `hold` (nothing
begins), `kill-<task>` (that task dies without a word of its own). The real one: tests/slurm.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["FAKE_SLURM"])


def sbatch() -> int:
    script = sys.stdin.read()
    if (FOLDER / "reject").exists():
        print((FOLDER / "reject").read_text(), file=sys.stderr)
        return 1
    found = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", script, flags=re.M))
    number = 1 + max((int(path.stem) for path in FOLDER.glob("*.sh")), default=40)
    (FOLDER / f"{number}.sh").write_text(script)
    tasks = int(re.match(r"0-(\d+)", found["array"])[1]) + 1 if "array" in found else None
    job = {"name": found["job-name"], "output": found["output"].strip('"'), "tasks": tasks}
    (FOLDER / f"{number}.tmp").write_text(json.dumps(job))
    (FOLDER / f"{number}.tmp").rename(FOLDER / f"{number}.json")
    runner = subprocess.Popen(
        [sys.executable, __file__, "run", str(number)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    (FOLDER / f"{number}.pid").write_text(str(runner.pid))
    print(number)
    return 0


def run(number: str) -> int:
    while (FOLDER / "hold").exists():
        time.sleep(0.05)
    job = json.loads((FOLDER / f"{number}.json").read_text())
    for task in range(job["tasks"]) if job["tasks"] is not None else [None]:
        restarts = 0
        while True:
            address = number if task is None else f"{number}_{task}"
            own = {"SLURM_JOB_ID": number, "SLURM_CPUS_PER_TASK": "1", "SLURM_RESTART_COUNT": str(restarts)}
            if task is not None:
                own |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(task)}
            output = job["output"].replace("%A", number).replace("%a", str(task)).replace("%j", number)
            with open(output, "a") as log:
                if (FOLDER / f"kill-{task}").exists():
                    log.write(
                        f"slurmstepd: error: *** JOB {number} ON n1 CANCELLED AT noon DUE TO TIME LIMIT ***\n"
                    )
                    break
                command = ["bash", str(FOLDER / f"{number}.sh")]
                process = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
                (FOLDER / "task.pid").write_text(str(process.pid))
                process.wait()
            if not (FOLDER / f"requeue-{address}").exists():
                break
            (FOLDER / f"requeue-{address}").unlink()
            restarts += 1
    (FOLDER / f"{number}.json").unlink()
    return 0


def squeue(*words: str) -> int:
    if (FOLDER / "down").exists():
        print("slurm_load_jobs error: Unable to contact slurm controller", file=sys.stderr)
        return 1
    if any(word.startswith("--jobs=") for word in words):
        print("RUNNING")
        return 0
    name = next(word for word in words if word.startswith("--name=")).partition("=")[2]
    for path in FOLDER.glob("*.json"):
        job = {}
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            job = json.loads(path.read_text())
        if job.get("name") == name:
            held = (FOLDER / "hold").exists()
            print(f"{path.stem}|{'PENDING|Resources' if held else 'RUNNING|None'}")
    return 0


def scancel(number: str) -> int:
    os.killpg(int((FOLDER / f"{number}.pid").read_text()), signal.SIGTERM)
    (FOLDER / f"{number}.json").unlink()
    (FOLDER / "cancelled").touch()
    return 0


def scontrol(*words: str) -> int:
    if words[0] == "requeue":
        (FOLDER / f"requeue-{words[1]}").touch()
    else:
        print("MaxArraySize            = 7")
    return 0


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    rest = [word for word in rest if word != "--parsable"]
    sys.exit(
        {"sbatch": sbatch, "run": run, "squeue": squeue, "scancel": scancel, "scontrol": scontrol}[what](
            *rest
        )
    )
