"""The code itself: nothing in it turns what comes from outside into code, or trusts whoever answers."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

import pytest

from jobs.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = sorted(path.parent for path in PROJECT_ROOT.glob("*/__init__.py"))

LOADERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
"""Modules whose loading runs what was stored."""
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.read_pickle", "pandas.read_pickle"}
UNSAFE = {"allow_pickle": True, "shell": True, "verify": False, "check_hostname": False, "ssl_check_hostname": False}
"""Arguments that make a safe call an unsafe one."""
WORDS = {"CERT_NONE", "_create_unverified_context", "disable_warnings", "UnsafeLoader", "FullLoader"}


class Found(NamedTuple):
    """Something that should not be in the code."""

    line: int
    what: str


def name_of(node: ast.expr) -> str:
    """A dotted name such as ``yaml.load``; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def dangers(source: str) -> Iterator[Found]:
    """What in a module could run or trust something from outside."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Found(node.lineno, f"import {a.name}") for a in node.names if a.name.split(".")[0] in LOADERS)
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in LOADERS:
            yield Found(node.lineno, f"from {node.module} import …")
        elif isinstance(node, ast.Attribute) and node.attr in WORDS:
            yield Found(node.lineno, node.attr)
        elif isinstance(node, ast.Call):
            yield from dangers_of_call(node)


def dangers_of_call(node: ast.Call) -> Iterator[Found]:
    name = name_of(node.func)
    if name in CALLS:
        yield Found(node.lineno, f"{name}(…)")
    if name in {"yaml.load", "yaml.load_all"}:
        loaders = [name_of(keyword.value) for keyword in node.keywords if keyword.arg == "Loader"]
        if not loaders or not loaders[0].endswith("SafeLoader"):
            yield Found(node.lineno, f"{name}(…) without a safe loader")
    for keyword in node.keywords:
        if isinstance(keyword.value, ast.Constant) and keyword.arg in UNSAFE:
            if keyword.value.value is UNSAFE[keyword.arg]:
                yield Found(node.lineno, f"{name}(…, {keyword.arg}={keyword.value.value})")
        elif keyword.arg in {"cert_reqs", "ssl_cert_reqs"}:
            yield Found(node.lineno, f"{name}(…, {keyword.arg}=…)")


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_nothing_in_the_packages_runs_or_trusts_what_comes_from_outside(package: Path) -> None:
    found = {
        f"{module.relative_to(PROJECT_ROOT)}:{danger.line}": danger.what
        for module in package.rglob("*.py")
        for danger in dangers(module.read_text(encoding="utf-8"))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.externals",
        "eval(text)",
        "os.system(text)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "np.load(file, allow_pickle=True)",
        "requests.get(url, verify=False)",
        "subprocess.run(command, shell=True)",
        "context.verify_mode = ssl.CERT_NONE",
        "Redis(ssl_cert_reqs='none')",
        "Redis(ssl_check_hostname=False)",
        "pd.read_pickle(file)",
    ],
)
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert len(list(dangers(line))) == 1


@pytest.mark.parametrize(
    "line", ["yaml.safe_load(text)", "yaml.load(text, Loader=yaml.CSafeLoader)", "re.compile(text)", "np.load(file)"]
)
def test_the_search_leaves_alone_what_is_harmless(line: str) -> None:
    assert not list(dangers(line))
