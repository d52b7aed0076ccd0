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
    build conf data deploy dist docs kart lib notebooks outputs resources src task tasks template test tests vendor
    """.split()  # noqa: SIM905
)

# Libraries that the project, its tests or its notebooks import or install, directly or indirectly, by import name and
# by name on the package index (with `_` for `-`). A package of the same name would shadow them.
LIBRARIES = set(
    """
    annotated_doc annotated_types antlr4 anyio argon2 argon2_cffi arrow ast_serialize asttokens async_lru attr attrs
    babel beautifulsoup4 binaryornot bleach boto3 botocore botocore_stubs bs4 certifi cffi cfgv chardet
    charset_normalizer click cloudpickle comm contourpy cookiecutter coverage cryptography cycler daemon dask
    dateutil debugpy decorator defusedxml dill distlib distributed docutils dotenv executing fastjsonschema filelock
    fonttools fqdn fsspec furo gcsfs git gitdb gitpython gokart google google_api_core google_auth google_cloud_core
    google_cloud_storage google_crc32c google_resumable_media googleapis_common_protos h11 hatchling httpcore httpx
    hypothesis identify idna importlib_metadata iniconfig ipykernel ipykernel_launcher ipython
    ipython_pygments_lexers ipywidgets isoduration isort jedi jinja2 jmespath joblib json5 jsonpointer jsonschema
    jsonschema_specifications jupyter jupyter_client jupyter_console jupyter_core jupyter_events jupyter_lsp
    jupyter_server jupyterlab jupyterlab_pygments jupyterlab_server kart_runtime kiwisolver lark libcst librt
    lightgbm locket lockfile loky luigi markdown_it markdown_it_py markupsafe matplotlib matplotlib_inline mdurl
    mistune mpl_toolkits msgpack mypy mypy_boto3 mypy_extensions mypyc myst_parser narwhals nbclient nbconvert
    nbdime nbformat nbstripout nest_asyncio nest_asyncio2 nodeenv notebook notebook_shim numpy omegaconf
    opentelemetry opentelemetry_api overrides packaging pandas pandas_stubs pandera pandocfilters parso partd
    pathspec pexpect pil pillow pip pkg_resources platformdirs pluggy polars pre_commit pre_commit_hooks
    prometheus_client prompt_toolkit proto proto_plus protobuf psutil ptyprocess pure_eval py pyarrow pyasn1
    pyasn1_modules pycparser pydantic pydantic_core pygments pylab pyparsing pytest pytest_cov pytest_mock
    python_daemon python_dateutil python_dotenv python_json_logger python_slugify pythonjsonlogger pytz pyyaml pyzmq
    redis referencing requests rfc3339_validator rfc3986 rfc3986_validator rfc3987_syntax rich rpds rpds_py ruamel
    ruamel_yaml ruff s3fs s3transfer scikit_learn scipy seaborn send2trash setuptools shellingham six sklearn slack
    slack_sdk slugify smmap sniffio sortedcontainers soupsieve sphinx stack_data tblib tenacity terminado
    text_unidecode threadpoolctl tinycss2 tlz tomli tomli_w tomlkit toolz torch tornado tqdm traitlets typeguard
    typer typing_extensions typing_inspect typing_inspection tzdata uri_template urllib3 uv virtualenv wcwidth
    webcolors webencodings websocket websocket_client wheel xdist xgboost xxhash yaml zict zipp zmq
    """.split()  # noqa: SIM905
)

# Libraries that teams add next, by both names: a package of the same name would hide one on the day it is added.
NEXT_LIBRARIES = set(
    """
    accelerate adlfs aiohttp airflow albumentations alembic altair anthropic apache_airflow apache_beam arviz
    autogluon autots ax azure azureml bambi bentoml bert_score bigquery bitsandbytes blackjax bokeh boruta boto
    botorch captum catalyst catboost category_encoders causalml causalnex celery cleanlab clearml clickhouse_driver
    cloudpathlib cmdstanpy comet_ml connectorx cuml cupy cv2 cvxpy cx_oracle dagshub dagster darts dash databricks
    dataprep datasets dbt decouple deepchem deepspeed delta deltalake detectron2 determined diffusers django docker
    dowhy dspy duckdb dvc dvclive dynaconf econml einops elasticsearch eli5 emcee environs evaluate evidently fabric
    fairlearn faiss faker fastai fastapi fastparquet fastprogress feast featuretools fiddle fiona fire flake8 flaml
    flask flax folium gensim geopandas gin gluonts google_cloud_bigquery gpy gpytorch gradio graphviz
    great_expectations gunicorn gym gymnasium h2o h5py haystack hdbscan hmmlearn holoviews horovod huggingface_hub
    hvplot hydra hydra_colorlog hydra_core hydra_optuna_sweeper hyperopt ibis ignite igraph imageio imbalanced_learn
    imblearn imgaug implicit impyla inquirer instructor interpret invoke ipyleaflet ipympl itables jax jaxlib
    jsonlines kafka kats kedro keras keras_tuner kfp kornia kubeflow kubernetes langchain langchain_core langfuse
    langgraph librosa lifelines lightfm lightning lightning_fabric lightning_utilities lime litellm llama_cpp
    llama_index llvmlite loguru lxml mapie marimo merlion metaflow missingno ml_collections mlflow mlserver mlxtend
    mmcv modal modin moto mpi4py mxnet neptune netcdf4 networkx neuralprophet nevergrad nibabel nltk nni nox numba
    numexpr numpyro ollama onnx onnxruntime openai opencv opencv_python opencv_python_headless openlineage
    openlineage_python openml openpyxl opentelemetry opentelemetry_exporter_otlp_proto_http opentelemetry_sdk optax
    optbinning optuna oracledb orbax orbit orjson ortools pandas_gbq pandas_profiling pandas_ta panel papermill
    peewee peft pendulum pgmpy phik pinecone pingouin pint ploomber plotly plotnine pmdarima pomegranate prefect
    prophet psycopg psycopg2 pulp pycaret pycox pydantic_settings pydeck pyhive pymc pymongo pymssql pymysql pyod
    pyodbc pyro pyro_ppl pyspark pystan pytensor pytest_xdist python_decouple python_multipart pytorch
    pytorch_lightning pytorch_tabnet pywavelets pywt qdrant_client questionary rasterio ray rdkit rich_click river
    s3path sacred safetensors sagemaker salib scikit_image scikit_optimize scikit_survival scrapy segment_anything
    seldon_core selenium sentence_transformers sentencepiece sentry_sdk shap shapely simpy skimage skl2onnx skopt
    sksurv sktime smart_open snakemake snorkel snowflake soundfile spacy sparse sqlalchemy sqlite_utils sqlmodel
    stable_baselines3 starlette statsforecast statsmodels streamlit structlog surprise sweetviz swifter sympy ta
    tables tabnet tabpfn tabulate talib tensorboard tensorboardx tensorflow tensorflow_datasets tensorflow_hub
    tensorflow_probability tensorrt tensorstore textblob textual tf_keras thinc tiktoken timm tokenizers
    torch_geometric torchaudio torchmetrics torchtext torchvision tox transformers trino trl tsfresh tslearn
    ultralytics umap umap_learn unsloth unstructured uvicorn vaex vega vllm voila wandb weasyprint weaviate
    websockets whisper whylogs xarray xlrd xlsxwriter ydata_profiling yellowbrick yfinance zarr zenml zstandard
    """.split()  # noqa: SIM905
)

# Modules that only some of the supported Python versions have, and two that Python imports by itself when it starts.
OTHER_STDLIB = set(
    """
    aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr imp lib2to3 mailcap
    msilib nis nntplib ossaudiodev pipes profiling sitecustomize smtpd sndhdr spwd sunau telnetlib usercustomize uu
    xdrlib
    """.split()  # noqa: SIM905
)
SOFT_KEYWORDS = {"case", "lazy", "match", "type"}

# Bidirectional control characters, which display a line differently from its content, and the byte order mark.
MISLEADING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")

# Blanks and fillers that Unicode does not call format characters, and signs in front of numbers that it calls so.
BLANKS = set("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
VISIBLE_FORMATS = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
JOINERS = "\u200c\u200d"
DIRECTION_MARKS = "\u061c\u200e\u200f"
SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"

# Where an invisible character is part of what is seen: a flag's tags, one selector after a symbol or a keycap's digit,
# and a joiner between letters or symbols of other scripts.
FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")
SELECTED = re.compile(f"([^\x00-\x7f\\s{SELECTORS}{JOINERS}]|[0-9#*](?=\ufe0f\u20e3))[{SELECTORS}]")
JOINED = re.compile(f"(?<=[^\x00-\x7f\\s{JOINERS}])[{JOINERS}](?=[^\x00-\x7f\\s{JOINERS}])")

AUTHOR = re.compile(r"\s*([^<>]*?)\s*<([^<>]*)>\s*(?:,|$)")
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
MAIL = re.compile(rf"{_ATOM}(\.{_ATOM})*@[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII | re.IGNORECASE)


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
    """Return the folder of the service's workflows or templates; without one, a folder that every project has.

    cookiecutter rejects a folder whose name renders as nothing, but omits a file whose name does.
    """
    return {"github": ".github/workflows", "gitlab": ".gitlab/merge_request_templates"}.get(ci, "vendor")


def service_file(ci: str, name: str) -> str:
    """Return the path of a file in the service's own folder, or nothing, so that cookiecutter omits the file.

    `workflow_directory` has created that folder: cookiecutter creates folders before files, and each folder only once.
    """
    return f".{ci}/{name}" if ci in ("github", "gitlab") else ""


def request_template(ci: str) -> str:
    """Return the path of the text that a new pull or merge request starts with, or nothing."""
    name = "pull_request_template.md" if ci == "github" else "merge_request_templates/Default.md"
    return service_file(ci, name)


def quoted(text: object) -> str:
    r"""Return a double-quoted ASCII string that TOML, YAML and Python all read as `text`.

    JSON writes a character beyond the BMP as two surrogates, which is an error in TOML: here it is `\UXXXXXXXX`.
    """
    return '"' + "".join(_escaped(character) for character in str(text)) + '"'


def authors(text: object) -> str:
    """Return the entries of `authors` in pyproject.toml for a name, or for `Name <mail>`, also several with commas."""
    people = _people(str(text)) or [{"name": str(text)}]
    entries = (", ".join(f"{field} = {quoted(value)}" for field, value in person.items()) for person in people)
    return ", ".join(f"{{ {entry} }}" for entry in entries)


def markdown(text: object) -> str:
    """Return `text` as Markdown that shows exactly these characters."""
    # A hyphen inside a word needs nothing, and most descriptions have one.
    return re.sub(r"((?<![A-Za-z])-|-(?![A-Za-z])|[!-,./:-@\[-`{-~])", r"\\\1", str(text))


def problems(answers: Mapping[str, object]) -> list[str]:
    """Return one line for each invalid answer, with a suggestion."""
    checks = (_text_problems, _mail_problems, _package_problems, _choice_problems)
    lines = [line for check in checks for line in check(answers)]
    return [f"{field}: {problem}" for field, problem in lines]


FILTERS = ("authors", "directory_name", "package_name", "distribution_name", "quoted", "markdown")
FUNCTIONS = ("directory_name", "distribution_name", "request_template", "service_file", "workflow_directory")


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
    if name in NEXT_LIBRARIES:
        return "is a library that the project may use one day"
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
        elif hidden := sorted({f"U+{ord(character):04X}" for character in _hidden(value)}):
            yield field, f"contains {', '.join(hidden[:5])}, which is invisible; remove it"
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


def _hidden(text: str) -> Iterator[str]:
    """Yield the characters that nobody sees and that no visible character needs."""
    seen = SELECTED.sub(r"\1", JOINED.sub("", FLAG.sub("", text)))
    right_to_left = any(unicodedata.bidirectional(character) in {"R", "AL"} for character in _letters(text))
    for character in seen:
        if character in DIRECTION_MARKS and right_to_left:
            continue
        formats = unicodedata.category(character) == "Cf" and character not in VISIBLE_FORMATS
        if formats or character in BLANKS or re.match(f"[{SELECTORS}]", character):
            yield character


def _letters(text: str) -> str:
    return "".join(character for character in text if unicodedata.category(character) != "Cf")


def _people(text: str) -> list[dict[str, str]]:
    """Return name and mail of each author of `Name <mail>, Name <mail>`; nothing if the text is not of that form."""
    if MAIL.fullmatch(text):
        return [{"email": text}]
    people, end = [], 0
    while end < len(text):
        match = AUTHOR.match(text, end)
        if match is None or not MAIL.fullmatch(match[2]):
            return []
        people.append({"name": match[1], "email": match[2]} if match[1] else {"email": match[2]})
        end = match.end()
    return people


def _mail_problems(answers: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    text = answers.get("author")
    if isinstance(text, str) and _tries_mail(text) and not _people(text):
        mail = MAIL.search(text)
        name = re.split("[<>,]", text[: mail.start()] if mail else text)[0].strip() or "Name"
        address = mail[0] if mail else "name@example.org"
        rule = "is neither a name nor 'Name <mail>', several separated by commas"
        yield "author", f"{_shown(text)} {rule}; try {_shown(f'{name} <{address}>')}"


def _tries_mail(text: str) -> bool:
    """Return whether a text looks like an author with a mail address; a lone < or > is an ordinary character."""
    return bool(re.search(r"<[^<>]*@|@[^<>]*>|\w\s*<[^<>]*>$", text))


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
