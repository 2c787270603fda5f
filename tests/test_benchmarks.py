import json
import platform
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "examples/benchmarks/bench_augmentation.py"


def test_bench_augmentation_reports_every_side(tmp_path):
    output = tmp_path / "result.json"
    size = "--image-size 48 --limit 2 --threads 1 --repeats 1 --seconds 0.05"
    process = subprocess.run(
        [sys.executable, SCRIPT, *size.split(), "--only=scipy", "--output", output],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    text = output.read_text("utf-8")
    results = json.loads(text)["results"]
    sides = ["skcovid, all six, grey", "scipy, elastic alone, grey"]
    assert [result["side"] for result in results] == sides
    assert all(result["median"] > 0 for result in results)
    assert all(f"\n| {side} |" in process.stdout for side in sides)
    # Results may be published: they name the kind of machine, not the host.
    assert str(tmp_path) not in text
    assert platform.node() not in text
