"""Mirror of a task module: the module, its configuration file and its test, and the names that they may have."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from kart_runtime.errors import ConfigError
from kart_runtime.project.project import Project, is_leftover

_MODULE = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]*", re.ASCII)
_EXPECTED = "MODULE.ClassName, such as features.encode.EncodeColumns"
_RESERVED = frozenset({"TaskOnKart", "None", "True", "False"})
_LONGEST = 80


@dataclass(frozen=True)
class Mirror:
    """The three files of a task module, whether they exist or not."""

    module: Path
    conf: Path
    test: Path

    def paths(self) -> tuple[Path, Path, Path]:
        """Return the three files."""
        return self.module, self.conf, self.test


def mirror(project: Project, module: str) -> Mirror:
    """Return the three files of a task module, such as `tasks.features.encode`."""
    *folders, name = module.split(".")
    return Mirror(
        project.package_folder.joinpath(*folders, f"{name}.py"),
        project.conf.joinpath("base", *folders, f"{name}.yaml"),
        project.tests.joinpath(*folders, f"test_{name}.py"),
    )


def split_name(project: Project, name: str, expected: str = _EXPECTED) -> tuple[str, str]:
    """Return the module below the package, and the class, of `MODULE.ClassName`; raise `ConfigError` if it is none."""
    short = name.removeprefix(f"{project.package}.").removeprefix("tasks.")
    *modules, class_name = short.split(".")
    if len(short) > _LONGEST:
        raise ConfigError(f"{name!r} is longer than {_LONGEST} characters", expected=expected)
    if not modules:
        raise ConfigError(f"{name!r} names no module", expected=expected)
    for part in modules:
        if not is_module_name(part):
            raise ConfigError(f"{part!r} in {name!r} is not a valid name of a module", expected=expected)
    check_class_name(class_name, name, expected)
    return ".".join(("tasks", *modules)), class_name


def is_module_name(part: str) -> bool:
    """Return whether a task module, or a folder of some, may have this name."""
    return bool(_MODULE.fullmatch(part)) and not keyword.iskeyword(part) and not part.startswith("test_")


def module_name(part: str) -> str:
    """Return the valid name that is closest to that of a module."""
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", part).lower()).strip("_")
    return plain if is_module_name(plain) else f"task_{plain}".rstrip("_")


def check_class_name(class_name: str, name: str, expected: str) -> None:
    """Raise `ConfigError` unless a task class may have this name."""
    if not _CLASS.fullmatch(class_name) or class_name in _RESERVED:
        where = "" if class_name == name else f" in {name!r}"
        raise ConfigError(f"{class_name!r}{where} is not a valid name of a task class", expected=expected)


def check_folders(project: Project, files: Mirror) -> None:
    """Raise `ConfigError` if a file is where a folder of a new module would be, or the other way round."""
    for path in files.paths():
        for folder in path.parents:
            if folder.exists() and not folder.is_dir():
                raise ConfigError(
                    "is a file where a folder is needed; nothing was written", file=project.relative(folder)
                )
    package = files.module.with_suffix("")
    if package.exists():
        raise ConfigError(
            "is a folder, so a module cannot have this name; nothing was written", file=project.relative(package)
        )
    for folder in files.module.relative_to(project.tasks_folder).parents:
        module = (project.tasks_folder / folder).with_suffix(".py")
        if folder.name and module.exists():
            raise ConfigError(
                "is a module, so a folder cannot have this name; nothing was written",
                file=project.relative(module),
            )


def missing_packages(project: Project, files: Mirror) -> list[Path]:
    """Return each `__init__.py` that new folders need, in a project whose other folders have one."""
    missing = []
    for top, path in ((project.tasks_folder, files.module), (project.tests / "tasks", files.test)):
        others = (init for init in top.glob("*/__init__.py") if not is_leftover(init.relative_to(top)))
        if (top / "__init__.py").exists() or any(others):
            between = path.parent.relative_to(top).parts
            folders = [top.joinpath(*between[:end]) for end in range(1, len(between) + 1)]
            missing += [folder / "__init__.py" for folder in folders if not (folder / "__init__.py").exists()]
    return missing
