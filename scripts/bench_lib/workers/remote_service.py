"""How do the programs reach a service of this machine? By the clients' own settings, which are of the environment.

Called by the programs ``remote_graph`` and ``remote_value`` before they import an engine.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

BUCKET = "bench"


def reach(engine: str, scheme: str, address: str) -> None:
    """Make this process speak to a service, and to nobody else.

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
        # What is read is not kept for the next process: each begins as on a machine of its own.
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
        give_client(address)


def give_client(address: str) -> None:
    """Give gokart a client of GCS: luigi's, to which its public argument ``descriptor`` names another address.

    gokart has no setting for it, and the library below it does not know ``STORAGE_EMULATOR_HOST``.
    """
    config, gcs, http, documents = map(
        importlib.import_module,
        ("gokart.gcs_config", "luigi.contrib.gcs", "googleapiclient.http", "googleapiclient.discovery_cache"),
    )
    described: dict[str, Any] = json.loads(documents.get_static_doc("storage", "v1"))
    described |= {"rootUrl": f"{address}/", "baseUrl": f"{address}/storage/v1/"}
    config.GCSConfig._client = gcs.GCSClient(descriptor=json.dumps(described), http_=http.build_http())
