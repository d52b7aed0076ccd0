"""Names derived from any text are valid, and text written into a file is read back as it was."""

from __future__ import annotations

import ast
import importlib.metadata
import itertools
import keyword
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from packaging.requirements import Requirement

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).filter(lambda t: t == t.strip())

# Session fixtures cannot change between hypothesis' examples, so it is right to use them in `given` tests.


@pytest.mark.parametrize(
    ("project_name", "expected"),
    [
        ("My pipeline", "my_pipeline"),
        ("json", "json_project"),
        ("JSON", "json_project"),
        ("class", "class_project"),
        ("1abc", "p1abc"),
        ("プロジェクト", "ml_project"),
        ("😀", "ml_project"),
        ("", "ml_project"),
        ("   ", "ml_project"),
        ("../x", "x"),
        ("/etc/passwd", "etc_passwd"),
        ("straße", "strasse"),
        ("Ünïcödé", "unicode"),
        ("a—b", "a_b"),
        ("a'b", "a_b"),
        ("__init__", "init"),
        ("__main__", "main"),
        ("luigi", "luigi_project"),
        ("Kart-Runtime", "kart_runtime_project"),
        ("scikit-learn", "scikit_learn_project"),
        ("test", "test_project"),
        ("con", "con_project"),
        ("match", "match_project"),
        ("x" * 5000, "x" * 40),
        ("x" * 39 + " y", "x" * 39),
    ],
)
def test_package_name(answers: ModuleType, project_name: str, expected: str) -> None:
    assert answers.package_name(project_name) == expected


@given(TEXT)
def test_package_name_is_always_usable(answers: ModuleType, project_name: str) -> None:
    name = answers.package_name(project_name)
    usable = {"project_name": "x", "description": "x", "author": "x", "storage": "local", "ci": "none"}
    assert answers.problems({**usable, "package_name": name}) == []
    assert name.isidentifier()
    assert not keyword.iskeyword(name)
    assert name not in sys.stdlib_module_names
    assert re.fullmatch(r"[a-z0-9](-?[a-z0-9]+)*", answers.distribution_name(name))


NEXT = """
    accelerate airflow altair anthropic bentoml bokeh catboost cv2 dagster datasets dvc duckdb evidently fastapi feast
    flax gensim geopandas great_expectations huggingface_hub hydra hydra_core imblearn jax kedro keras langchain
    lightning metaflow mlflow networkx nltk omegaconf onnx onnxruntime openai opencv_python
    optuna plotly prefect pymc
    pyspark pytorch_lightning ray scikit_image seaborn sentence_transformers shap skimage spacy sqlalchemy statsmodels
    streamlit tensorboard tensorflow timm tokenizers torchvision transformers umap wandb xarray zenml
    sitecustomize usercustomize
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", NEXT)
def test_library_that_a_team_adds_next_is_refused_as_a_package(answers: ModuleType, name: str) -> None:
    usable = {"project_name": "x", "description": "x", "author": "x", "storage": "local", "ci": "none"}
    (line,) = answers.problems({**usable, "package_name": name})
    assert line.startswith(f"package_name: {name!r} is ")
    assert line.endswith(f"; try '{name}_project'")
    assert answers.package_name(name.replace("_", "-")) == f"{name}_project"


@given(TEXT)
def test_directory_name_stays_in_the_folder(answers: ModuleType, project_name: str) -> None:
    assert re.fullmatch(r"[a-z0-9](-?[a-z0-9]+)*", answers.directory_name(project_name))
    assert answers.directory_name(project_name) not in answers.DEVICES
    assert len(answers.directory_name(project_name)) <= 68


def test_every_library_that_a_project_names_is_refused_as_its_name(answers: ModuleType, default_project: Path) -> None:
    table = tomllib.loads((default_project / "pyproject.toml").read_text())
    lines = [*table["project"]["dependencies"], *itertools.chain(*table["dependency-groups"].values())]
    lines += [line for line in importlib.metadata.requires("kart-runtime") or [] if "'dev'" not in line]
    distributions = {_normalized(Requirement(line).name) for line in lines}
    modules = {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if distributions & {_normalized(owner) for owner in owners} and not module.startswith("_")
    }
    names = {name.replace("-", "_") for name in distributions} | modules
    assert {name for name in names if answers.PACKAGE_NAME.fullmatch(name) and not answers._taken(name)} == set()
    assert {"kart_runtime", "luigi", "pandas", "sklearn", "numpy", "yaml"} <= answers.LIBRARIES


@given(TEXT)
def test_quoted_text_is_read_back(answers: ModuleType, text: str) -> None:
    written = answers.quoted(text)
    assert written.isascii()
    assert ast.literal_eval(written) == text
    assert tomllib.loads(f"text = {written}") == {"text": text}
    assert yaml.safe_load(f"text: {written}") == {"text": text}


@pytest.mark.parametrize(
    ("author", "expected"),
    [
        ("Ann", [{"name": "Ann"}]),
        ("Smith, Ann", [{"name": "Smith, Ann"}]),
        ("Ann Lee <ann@example.org>", [{"name": "Ann Lee", "email": "ann@example.org"}]),
        ("Jürgen <j.x+y@sub.example.org>", [{"name": "Jürgen", "email": "j.x+y@sub.example.org"}]),
        ("Ann <a@b.cc>, Bo <b@c.dd>", [{"name": "Ann", "email": "a@b.cc"}, {"name": "Bo", "email": "b@c.dd"}]),
        ("Acme, Inc. <info@acme.example>", [{"name": "Acme, Inc.", "email": "info@acme.example"}]),
        ("<a@b.cc>", [{"email": "a@b.cc"}]),
        ("a@b.cc", [{"email": "a@b.cc"}]),
        ("a < b", [{"name": "a < b"}]),
        ("@someone", [{"name": "@someone"}]),
    ],
)
def test_author_becomes_name_and_mail(answers: ModuleType, author: str, expected: list[dict[str, str]]) -> None:
    assert tomllib.loads(f"authors = [{answers.authors(author)}]") == {"authors": expected}
    assert list(answers._mail_problems({"author": author})) == []


@pytest.mark.parametrize(
    ("author", "suggestion"),
    [
        ("Ann <ann>", "Ann <name@example.org>"),
        ("Ann <ann@>", "Ann <name@example.org>"),
        ("Ann <ann@example.org", "Ann <ann@example.org>"),
        ("Ann ann@example.org>", "Ann <ann@example.org>"),
        ("Ann <ann@example.org> Lee", "Ann <ann@example.org>"),
        ("Ann <ann at example.org>", "Ann <name@example.org>"),
        ("Ann <a..b@example.org>", "Ann <b@example.org>"),
        ("Ann <a@b.cc>, Bo <b>", "Ann <a@b.cc>"),
        ("<@>", "Name <name@example.org>"),
    ],
)
def test_malformed_mail_is_refused_with_a_suggestion(answers: ModuleType, author: str, suggestion: str) -> None:
    ((field, line),) = answers._mail_problems({"author": author})
    assert field == "author"
    assert line.endswith(f"; try {suggestion!r}")
    assert list(answers._mail_problems({"author": suggestion})) == []


@given(LINE)
def test_markdown_shows_the_text(answers: ModuleType, text: str) -> None:
    heading = MarkdownIt().parse(f"# {answers.markdown(text)}\n")[1]
    shown = "".join(child.content for child in heading.children or [])
    assert [child.type for child in heading.children or []] == ["text"] * len(heading.children or [])
    assert shown == text.replace("\x00", "\ufffd")


def test_all_problems_are_told_at_once(answers: ModuleType) -> None:
    found = answers.problems({"project_name": "", "package_name": "class", "description": "a\nb", "storage": "azure"})
    assert [line.partition(":")[0] for line in found] == [
        "project_name",
        "description",
        "author",
        "package_name",
        "storage",
        "ci",
    ]
    assert all("\n" not in line and line.isascii() for line in found)


def _normalized(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
