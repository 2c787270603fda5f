"""mypy sees the true type of every public name, including lazily loaded ones."""

import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import skcovid

api = pytest.importorskip("mypy.api")

MODULES = [
    "skcovid",
    "skcovid.networks.backbones",
    *(
        f"skcovid.{module.name}"
        for module in pkgutil.iter_modules(skcovid.__path__)
        if not module.name.startswith("_")
    ),
]
NAMES = [
    f"{module}.{name}" for module in MODULES for name in import_module(module).__all__
]
NONSENSE = "skcovid.nonsense"
# Two lines for each name: its type, and a call with an unknown keyword.
LINES = [f"import {module}\n" for module in MODULES]
for name in [*NAMES, NONSENSE]:
    LINES += [f"reveal_type({name})\n", f"{name}(nonsense=3)\n"]


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    """Messages of mypy for the two lines of each name."""
    script = tmp_path_factory.mktemp("types") / "uses.py"
    script.write_text("".join(LINES))
    with pytest.MonkeyPatch.context() as patch:
        # The path of the package, mypy's options and its cache.
        patch.chdir(Path(__file__).parents[1])
        said, failed, _ = api.run(["--no-error-summary", str(script)])
    assert not failed
    by_line = {}
    for line in said.splitlines():
        if found := re.match(r".*uses\.py:(\d+): \w+: (.*)", line):
            by_line.setdefault(int(found[1]), found[2])
    first = len(MODULES) + 1
    return {
        name: (by_line.get(first + 2 * i, ""), by_line.get(first + 2 * i + 1, ""))
        for i, name in enumerate([*NAMES, NONSENSE])
    }


@pytest.mark.parametrize("name", NAMES)
def test_types_are_known(name, messages):
    revealed, called = messages[name]
    found = re.fullmatch(r'Revealed type is "(.*)"', revealed)
    assert found, revealed
    assert found[1] != "Any"
    assert not re.match(r"def \(\*\w+: Any, \*\*\w+: Any\)", found[1])
    # Overrides of recipes may have any type; the steps check them.
    if "**overrides" not in found[1]:
        assert re.search("nonsense|not callable|abstract class", called), called


def test_names_that_do_not_exist_are_reported(messages):
    assert "Module has no attribute" in messages[NONSENSE][0]
