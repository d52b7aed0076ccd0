"""Configuration of the clients for a local service, by their own environment variables.

Called by the programs `remote_graph` and `remote_value` before they import an engine.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

BUCKET = "bench"


def use_service(engine: str, scheme: str, address: str) -> None:
    """Make the clients of this process use a local service.

    Parameters
    ----------
    engine
        ``kart_runtime`` or ``gokart``.
    scheme
        ``s3`` or ``gs``.
    address
        ``http://127.0.0.1:PORT``.
    """
    os.environ.update(
        # An empty object cache for each process, as on a machine of its own.
        KART_CACHE_DIR=str(Path.cwd() / "cache"),
        AWS_ENDPOINT_URL=address,
        AWS_ACCESS_KEY_ID="bench",
        AWS_SECRET_ACCESS_KEY="bench",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        STORAGE_EMULATOR_HOST=address,
        GOOGLE_CLOUD_PROJECT="bench",
    )
    if (engine, scheme) == ("gokart", "gs"):
        set_gokart_client(address)


def set_gokart_client(address: str) -> None:
    """Set gokart's GCS client to luigi's, with another address in its public argument `descriptor`.

    gokart has no setting for it, and the library below it does not read ``STORAGE_EMULATOR_HOST``.
    """
    config, gcs, http, documents = map(
        importlib.import_module,
        ("gokart.gcs_config", "luigi.contrib.gcs", "googleapiclient.http", "googleapiclient.discovery_cache"),
    )
    described: dict[str, Any] = json.loads(documents.get_static_doc("storage", "v1"))
    described |= {"rootUrl": f"{address}/", "baseUrl": f"{address}/storage/v1/"}
    config.GCSConfig._client = gcs.GCSClient(descriptor=json.dumps(described), http_=http.build_http())
