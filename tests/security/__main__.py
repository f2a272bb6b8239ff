"""The metadata attack set as a table, every attack through every verb (`python -m tests.security`, some minutes)."""

import os
import sys
import tempfile
from pathlib import Path

from tests.security.attacks import ATTACKS
from tests.security.attempts import RIG, executed, launch, said, script, write_all
from tests.security.kept import instance, measured, planned_page, saved_profile, services

COLUMNS = ("plan", "inspect", "script", "ps+logs", "bench", "page", "profile", "services", "launch")


def main() -> int:
    """Prints one row per attack; exit code 1 when one got through."""
    broken = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        homes = {f"XDG_{kind}_HOME": f"{name}/{kind.lower()}" for kind in ("CONFIG", "STATE", "DATA", "CACHE")}
        os.environ |= {**homes, "COLUMNS": "160"}
        models = write_all(folder)
        print(f"{'attack':<32} " + " ".join(f"{column:<8}" for column in COLUMNS))
        for attack in ATTACKS:
            model = models[attack.title]
            cells = (
                said(attack, "plan", str(model), *RIG),
                said(attack, "inspect", str(model)),
                script(attack, model),
                instance(attack, model),
                measured(attack, model),
                planned_page(attack, model),
                saved_profile(attack, model),
                services(attack),
                launch(attack, model),
            )
            marks = ["ok" if not wrong else "BROKEN" for wrong in cells]
            print(f"{attack.title:<32} " + " ".join(f"{mark:<8}" for mark in marks), flush=True)
            broken += marks.count("BROKEN")
            for wrong in cells:
                print(*(f"    {text}" for text in wrong), sep="\n", end="\n" if wrong else "")
        ran = executed(folder)
        print(f"{len(ATTACKS)} attacks, {broken} broken, {len(ran)} commands executed")
    return 1 if broken or ran else 0


if __name__ == "__main__":
    sys.exit(main())
