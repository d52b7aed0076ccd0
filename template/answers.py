"""Answers of the user: checks, names derived from answers, and escaping for generated files.

Used by the templates (through `local_extensions.py`) and by the pre_gen hook, which calls `problems` before anything is
written. Standard library only, and no import of other files of the template: both callers load this file by its path.
"""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

CHOICES = {"storage": ("local", "s3", "gcs"), "ci": ("github", "gitlab", "none")}
TEXTS = ("project_name", "description", "author")
LONGEST_TEXT = 200
LONGEST_NAME = 40
PACKAGE_NAME = re.compile(r"[a-z](?:[a-z0-9_]*[a-z0-9])?")
MARKUP = ("{{", "{%", "{#")

# Windows cannot create files with these names, whatever their extension.
DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}

# Folders of a generated project and words of its commands: `python -m tests` would be ambiguous.
PROJECT_WORDS = set(
    """
    build conf dist docs kart lib notebooks outputs resources src task tasks template test tests vendor
    """.split()  # noqa: SIM905
)

# Libraries that the project, its tests or its notebooks import or install, directly or indirectly, by import name and
# by name on the package index (with `_` for `-`). A package of the same name would shadow them.
LIBRARIES = set(
    """
    annotated_doc annotated_types antlr4 arrow ast_serialize asttokens attr attrs binaryornot boto3 botocore certifi
    cffi charset_normalizer click cloudpickle comm contourpy cookiecutter coverage cruft cryptography cycler daemon
    dask dateutil debugpy decorator dill distributed docutils executing fastjsonschema filelock fonttools fsspec gcsfs
    git gitdb gitpython gokart google google_api_core google_auth google_cloud_core google_cloud_storage google_crc32c
    google_resumable_media googleapis_common_protos hatchling hypothesis idna importlib_metadata iniconfig ipykernel
    ipykernel_launcher ipython ipython_pygments_lexers ipywidgets isort jedi jinja2 jmespath joblib jsonschema
    jsonschema_specifications jupyter jupyter_client jupyter_core jupyterlab kart_runtime kiwisolver libcst librt
    lightgbm locket lockfile loky luigi markdown_it markdown_it_py markupsafe matplotlib matplotlib_inline mdurl
    mpl_toolkits msgpack mypy mypy_extensions mypyc narwhals nbclient nbconvert nbformat nest_asyncio nest_asyncio2
    notebook numpy omegaconf opentelemetry opentelemetry_api packaging pandas pandas_stubs pandera parso partd pathspec
    pexpect pil pillow pip pkg_resources platformdirs pluggy polars pre_commit prompt_toolkit proto proto_plus protobuf
    psutil ptyprocess pure_eval py pyarrow pyasn1 pyasn1_modules pycparser pydantic pydantic_core pygments pylab
    pyparsing pytest python_daemon python_dateutil python_slugify pytz pyyaml pyzmq redis referencing requests rich
    rpds rpds_py ruff s3fs s3transfer scikit_learn scipy seaborn setuptools shellingham six sklearn slack slack_sdk
    slugify smmap sortedcontainers stack_data tblib tenacity text_unidecode threadpoolctl tlz toolz torch tornado tqdm
    traitlets typer typing_extensions typing_inspection tzdata urllib3 uv virtualenv wcwidth wheel xdist xgboost xxhash
    yaml zict zipp zmq
    """.split()  # noqa: SIM905
)

# Modules and keywords that only some of the supported Python versions have.
OTHER_STDLIB = set(
    """
    aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr imp lib2to3 mailcap
    msilib nis nntplib ossaudiodev pipes profiling smtpd sndhdr spwd sunau telnetlib uu xdrlib
    """.split()  # noqa: SIM905
)
SOFT_KEYWORDS = {"case", "lazy", "match", "type"}

# Bidirectional control characters, which display a line differently from its content, and the byte order mark.
MISLEADING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def directory_name(project_name: object) -> str:
    """Return a folder name for the project: lower-case letters, digits and single dashes, never empty.

    cookiecutter creates this folder before any check runs, so the name is safe for every input.
    """
    name = "-".join(_words(project_name))[:60].strip("-") or "ml-project"
    return f"{name}-project" if name in DEVICES else name


def package_name(project_name: object) -> str:
    """Return a valid name for the project's Python package, whatever the project's name.

    Examples
    --------
    `json` becomes `json_project`, `1abc` becomes `p1abc`, a name without a Latin letter or digit becomes `ml_project`.
    """
    name = "_".join(_words(project_name))
    if name[:1].isdigit():
        name = f"p{name}"
    name = name[:LONGEST_NAME].strip("_") or "ml_project"
    return f"{name}_project" if _taken(name) else name


def distribution_name(package: str) -> str:
    """Return the name of the project in its pyproject.toml."""
    return re.sub("_+", "-", package)


def workflow_directory(ci: str) -> str:
    """Return the folder of the GitHub workflow; for other services, a folder that every project has.

    cookiecutter rejects a folder whose name renders as nothing, but omits a file whose name does.
    """
    return ".github/workflows" if ci == "github" else "vendor"


def service_file(ci: str, name: str) -> str:
    """Return the path of a file in the service's own folder, or nothing, so that cookiecutter omits the file.

    `workflow_directory` has created that folder: cookiecutter creates folders before files, and each folder only once.
    """
    return f".{ci}/{name}" if ci in ("github", "gitlab") else ""


def quoted(text: object) -> str:
    r"""Return a double-quoted ASCII string that TOML, YAML and Python all read as `text`.

    JSON writes a character beyond the BMP as two surrogates, which is an error in TOML: here it is `\UXXXXXXXX`.
    """
    return '"' + "".join(_escaped(character) for character in str(text)) + '"'


def markdown(text: object) -> str:
    """Return `text` as Markdown that shows exactly these characters."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", str(text))


def problems(answers: Mapping[str, object]) -> list[str]:
    """Return one line for each invalid answer, with a suggestion."""
    lines = [*_text_problems(answers), *_package_problems(answers), *_choice_problems(answers)]
    return [f"{field}: {problem}" for field, problem in lines]


FILTERS = ("directory_name", "package_name", "distribution_name", "quoted", "markdown")
FUNCTIONS = ("directory_name", "service_file", "workflow_directory")


def _words(text: object) -> list[str]:
    # casefold first: it turns ß into ss, which NFKD does not; NFKD splits é into e and an accent, which is dropped
    decomposed = unicodedata.normalize("NFKD", str(text).casefold())
    letters = (character for character in decomposed if not unicodedata.combining(character))
    return re.findall("[a-z0-9]+", "".join(letters))


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    return f"\\u{ord(character):04X}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08X}"


def _taken(name: str) -> str:
    """Return why a package cannot have this (well-formed) name, or an empty string."""
    if keyword.iskeyword(name) or name in SOFT_KEYWORDS:
        return "is a Python keyword"
    if name in sys.stdlib_module_names or name in OTHER_STDLIB:
        return "is a module of Python's standard library"
    if name in LIBRARIES:
        return "is a library that the project uses"
    if name in DEVICES:
        return "cannot be a file name on Windows"
    return "is reserved in generated projects" if name in PROJECT_WORDS else ""


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text_problems(answers: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for field in TEXTS:
        value = answers.get(field)
        if not isinstance(value, str) or not value.strip():
            yield field, f"{_shown(value)} is empty; enter a few words"
            continue
        bad = sorted({f"U+{ord(character):04X}" for character in value if _unwritable(character)})
        if bad:
            yield field, f"contains {', '.join(bad[:5])}, which is not printable; remove it"
        elif value != value.strip():
            yield field, f"{_shown(value)} starts or ends with a space; try {_shown(value.strip())}"
        if len(value) > LONGEST_TEXT:
            yield field, f"has {len(value)} characters, the limit is {LONGEST_TEXT}; shorten it"
        mark = next((mark for mark in MARKUP if mark in value), None)
        if mark:
            yield field, f"contains {mark!r}, which is template markup; remove it"


def _unwritable(character: str) -> bool:
    # control characters, surrogates (which are not text), line and paragraph separators, and noncharacters
    code = ord(character)
    special = unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in MISLEADING
    return special or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def _package_problems(answers: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    value = answers.get("package_name")
    suggestion = package_name(value if isinstance(value, str) else "")
    if not isinstance(value, str) or not PACKAGE_NAME.fullmatch(value):
        rule = "lower-case letters, digits and _; starts with a letter, does not end with _"
        yield "package_name", f"{_shown(value)} is not a package name ({rule}); try {suggestion!r}"
    elif len(value) > LONGEST_NAME:
        yield "package_name", f"has {len(value)} characters, the limit is {LONGEST_NAME}; try {suggestion!r}"
    elif _taken(value):
        yield "package_name", f"{value!r} {_taken(value)}; try {suggestion!r}"


def _choice_problems(answers: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for field, choices in CHOICES.items():
        value = answers.get(field)
        if value not in choices:
            near = get_close_matches(str(value), choices, n=1) or choices[:1]
            yield field, f"{_shown(value)} is not one of {', '.join(choices)}; try {near[0]!r}"
