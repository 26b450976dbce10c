"""Where things may be reached from: the core is pure, and one package touches the extension."""

import ast
from pathlib import Path

import jumping_vpn

PACKAGE = Path(jumping_vpn.__file__).parent
MAY_TOUCH_THE_EXTENSION = {"dataplane", "lab"}
MAY_ASK_WHETHER_IT_IS_THERE = {"cli/doctor.py"}
MAY_CHANGE_A_STATE = {"machine.py", "chronicle.py"}
IMPURE_FUNCTIONS = {"input", "open", "print"}
IMPURE_METHODS = {"now", "today", "utcnow", "uuid1", "uuid4", "uuid6", "uuid7"}


def test_only_the_data_plane_and_the_lab_import_the_extension():
    importers = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any("_native" in name for name in imported(path))
        and path.relative_to(PACKAGE).as_posix() not in MAY_ASK_WHETHER_IT_IS_THERE
    }

    assert importers <= MAY_TOUCH_THE_EXTENSION


def test_the_core_calls_nothing_that_reads_a_clock_entropy_or_the_world():
    for path in (PACKAGE / "core").rglob("*.py"):
        functions, methods = called(path)

        assert not functions & IMPURE_FUNCTIONS, path
        assert not methods & IMPURE_METHODS, path


def test_no_state_is_assigned_outside_the_machine_and_the_client_s_copy_of_it():
    for path in (PACKAGE / "core").rglob("*.py"):
        changes = [call for call in replacements(path) if "state" in call]

        assert not changes or path.name in MAY_CHANGE_A_STATE, path


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{each.name}" for each in node.names}
    return names


def called(path: Path) -> tuple[set[str], set[str]]:
    """Return the names of the functions and of the methods that a module calls."""
    tree = ast.parse(path.read_text())
    calls = [each.func for each in ast.walk(tree) if isinstance(each, ast.Call)]
    functions = {each.id for each in calls if isinstance(each, ast.Name)}
    return functions, {each.attr for each in calls if isinstance(each, ast.Attribute)}


def replacements(path: Path) -> list[set[str | None]]:
    """Return the names of the arguments of every `replace(session, ...)`."""
    return [
        {each.arg for each in node.keywords}
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "replace"
    ]
