"""What is not installed is sent, whole, with what it imports; what is sent is what is imported, and nothing older."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

from kart_runtime.execution.executors.dask import packages
from kart_runtime.execution.executors.dask.packages import TooLarge, activate_packages, imported_by, own_packages, pack


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder of modules, which are forgotten afterwards."""
    loaded = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "src"), *sys.path])
    monkeypatch.setattr(packages, "_active", {})
    yield tmp_path / "src"
    for name in set(sys.modules) - loaded:
        if name.startswith("own_"):
            del sys.modules[name]


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_package_goes_with_its_data_and_what_it_imports(folder):
    write(
        folder,
        own_a__sub__code_DOT_py="def f():\n    import own_b, json\n    from own_c.deep import x\n",
        own_a__data_DOT_csv="1",
        own_a___DOT_hidden="1",
        own_a___DOT_git__config="1",
        own_a__sub__deeper__x_DOT_pyc="1",
        own_b_DOT_py="import numpy as np, own_d.x as d\nimport own_missing\n",
        own_c__deep_DOT_py="import own_a\n",
        own_d__x_DOT_py="",
        own_e_DOT_py="",
    )
    (folder / "own_a" / "__pycache__").mkdir()
    (folder / "own_a" / "__pycache__" / "x.py").write_text("")
    found = own_packages(["own_a.sub.code", "json", "luigi.task", "kart_runtime.task.base", "__main__"])
    assert {name: sorted(files) for name, files in found.items()} == {
        "own_a": ["own_a/data.csv", "own_a/sub/code.py"],
        "own_b": ["own_b.py"],
        "own_c": ["own_c/deep.py"],
        "own_d": ["own_d/x.py"],
    }


def test_an_installed_package_stays_where_it_is(tmp_path, monkeypatch):
    write(tmp_path / "site-packages", own_installed_DOT_py="")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site-packages"), *sys.path])
    assert own_packages(["own_installed", "numpy"]) == {}


def test_a_script_and_a_notebook_say_what_they_import(folder, monkeypatch):
    write(folder, own_script_DOT_py="import own_first\nfrom own_second import x\n")
    script = import_module("types").ModuleType("own_script")
    script.__file__ = str(folder / "own_script.py")
    assert imported_by(script) == {"own_first", "own_second"}
    notebook = import_module("types").ModuleType("__main__")
    notebook.sys, notebook.path = sys, Path
    assert imported_by(notebook) >= {"sys", Path.__module__}


def test_the_same_files_have_the_same_digest_and_archive(folder):
    write(folder, own_a__x_DOT_py="1", own_a__y_DOT_py="2")
    first, again = (pack("own_a", own_packages(["own_a"])["own_a"]) for _ in range(2))
    write(folder, own_a__y_DOT_py="3")
    other = pack("own_a", own_packages(["own_a"])["own_a"])
    assert first == again
    assert first.digest != other.digest


def test_what_is_too_large_names_the_largest_files(folder, monkeypatch):
    monkeypatch.setattr(packages, "LIMIT", 1_000_000)
    write(folder, own_a__x_DOT_py="1", own_a__big_DOT_bin="2" * 2_000_000)
    with pytest.raises(TooLarge, match=r"2 MB; its largest files are own_a/big\.bin, own_a/x\.py"):
        pack("own_a", own_packages(["own_a"])["own_a"])


def test_the_code_in_use_is_that_of_the_present_build(folder, tmp_path):
    write(folder, own_a__code_DOT_py="VALUE = 1\n")
    place = tmp_path / "worker"

    def value():
        return import_module("own_a.code").VALUE

    def packed():
        return pack("own_a", own_packages(["own_a"])["own_a"])

    one = packed()
    assert value() == 1  # as a worker that has the package anyway
    write(folder, own_a__code_DOT_py="VALUE = 200\n")
    two = packed()
    activate_packages([two], place)
    assert value() == 200
    module = sys.modules["own_a.code"]
    activate_packages([two], place)
    assert sys.modules["own_a.code"] is module
    activate_packages([one], place)
    assert value() == 1
    assert [entry for entry in sys.path if entry.startswith(str(place))] == [str(place / f"own_a-{one.digest[:16]}")]
    activate_packages([], place)
    assert value() == 200
    assert not [entry for entry in sys.path if entry.startswith(str(place))]


def test_credentials_beside_the_code_stay(folder):
    write(
        folder.parent,
        pyproject_DOT_toml='[tool.setuptools.package-data]\nown_a = ["labels.json", "data/*.yaml"]\n',
    )
    write(
        folder,
        own_a__x_DOT_py="1",
        own_a__query_DOT_sql="select 1",
        own_a__labels_DOT_json="{}",
        own_a__gcp_DOT_json='{"private_key": "x"}',
        own_a__data__a_DOT_yaml="a: 1",
        own_a__data__secrets_DOT_yaml="a: 1",
        own_a__server_DOT_pem="-----BEGIN PRIVATE KEY-----",
        own_a__table_DOT_csv="-----BEGIN RSA PRIVATE KEY-----",
        own_a__id_rsa="x",
        own_a__config_DOT_yaml_DOT_j2="a: {{ a }}",
        own_a__settings_DOT_ini_DOT_bak="[a]",
        own_a__vars_DOT_txt="user=me\npassword=hunter2",
        own_a__words_DOT_txt="a password is a word",
        own_a__hosts_DOT_csv="postgresql://me:hunter2@db/x",
        own_a__look_DOT_ipynb="{}",
        own_a___DOT_env="PASSWORD=x",
    )
    (folder.parent / "outside.csv").write_text("1")
    (folder / "own_a" / "link.csv").symlink_to(folder.parent / "outside.csv")

    sent = sorted(own_packages(["own_a"])["own_a"])

    assert sent == ["own_a/data/a.yaml", "own_a/labels.json", "own_a/query.sql", "own_a/words.txt", "own_a/x.py"]
    left = ["config.yaml.j2", "data/secrets.yaml", "gcp.json", "hosts.csv", "id_rsa", "look.ipynb", "server.pem"]
    left += ["settings.ini.bak", "table.csv", "vars.txt"]
    assert packages.files_left_out("own_a") == [f"own_a/{name}" for name in left]
