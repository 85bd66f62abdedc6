#!/usr/bin/env python3
"""Times whole processes side by side, in turns, and prints medians and their ratios.

Usage: cargo build --release && python3 tests/bench/run.py [ROUNDS]
Compares with ansible-playbook and pyinfra where they are on the PATH.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CAPSTAN = ROOT / "target/release/capstan"
STEPS = 10


def document(folder, steps, script):
    path = folder / f"steps{steps}.json"
    path.write_text(json.dumps({
        "schemaVersion": "2.2",
        "mainSteps": [
            {"name": f"s{n}", "action": "aws:runShellScript", "inputs": {"runCommand": [script]}}
            for n in range(steps)
        ],
    }))
    return str(path)


def cases(folder):
    playbook = folder / "playbook.yml"
    tasks = "".join("    - ansible.builtin.command: /bin/true\n" for _ in range(STEPS))
    playbook.write_text(f"- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n{tasks}")
    deploy = folder / "deploy.py"
    deploy.write_text("from pyinfra.operations import server\n" + 'server.shell(commands=["/bin/true"])\n' * STEPS)
    capstan = [str(CAPSTAN), "run", "--output", "json"]
    yield "capstan, 10 steps", [*capstan, document(folder, STEPS, "true")]
    yield "capstan, 1 step", [*capstan, document(folder, 1, "true")]
    yield "capstan, 10 steps, trusted-host", [*capstan, "--profile", "trusted-host", document(folder, STEPS, "true")]
    yield "sh, 10 times sh -c :", ["/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/sh -c :; done"]
    if shutil.which("ansible-playbook"):
        yield "ansible-core, 10 tasks", ["ansible-playbook", "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", str(playbook)]
    if shutil.which("pyinfra"):
        yield "pyinfra, 10 operations", ["pyinfra", "-y", "@local", str(deploy)]


def peak(command, env, folder):
    """The resident size of the largest process of a run, in MiB."""
    process = subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_maxrss / 1024


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    # Not below /tmp, which a step sees replaced by its own.
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as name:
        folder = pathlib.Path(name)
        env = {**os.environ, "CAPSTAN_STATE": str(folder / "state"), "HOME": name}
        env.pop("CAPSTAN_POLICY", None)
        runs = list(cases(folder))
        times = {label: [] for label, _ in runs}
        steps = []
        for turn in range(rounds + 1):
            for label, command in runs:
                start = time.perf_counter()
                done = subprocess.run(command, env=env, cwd=name, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
                taken = (time.perf_counter() - start) * 1000
                # The first turn fills the caches.
                if turn:
                    times[label].append(taken)
                    if label == "capstan, 10 steps":
                        steps += [step["wallMillis"] for step in json.loads(done.stdout)["steps"][1:]]
        base = statistics.median(times["capstan, 10 steps"])
        for label, list_ in times.items():
            median = statistics.median(list_)
            memory = peak(dict(runs)[label], env, name)
            print(f"{label:34} median {median:8.1f} ms   {median / base:6.2f} times capstan's 10 steps   peak {memory:4.0f} MiB")
        once = statistics.median(times["sh, 10 times sh -c :"]) / STEPS
        step = statistics.median(steps)
        print(f"a confined step within a run       median {step:8.2f} ms   {step / once:6.2f} times a bare `sh -c :` ({once:.2f} ms)")
        # What a further step adds to a run, with all that is written down between two steps.
        added = (base - statistics.median(times["capstan, 1 step"])) / (STEPS - 1)
        print(f"what a further step adds           median {added:8.2f} ms   {added / once:6.2f} times")


if __name__ == "__main__":
    main()
