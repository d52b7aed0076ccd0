"""Writer of a report: from a run of a workspace, and what is known about earlier ones, to one HTML file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kart_runtime.errors import KartError
from kart_runtime.history.runs import Run, RunRecord
from kart_runtime.report.columns import columns
from kart_runtime.report.data import Contents, contents, variants
from kart_runtime.report.earlier import nearest_runs, run_differences
from kart_runtime.report.logs import logs_and_traces, series
from kart_runtime.report.page import MARK, image_id, page
from kart_runtime.report.previews import Preview, previews
