"""Settings of ``[GCSConfig]`` in luigi's configuration, and luigi's client of GCS.

kart's own store reads the same section (`storage.stores.gcs`) and needs neither this class nor luigi's client.
"""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import luigi

if TYPE_CHECKING:
    import luigi.contrib.gcs


class GCSConfig(luigi.Config):
    """Name of the environment variable with the credentials; if it is empty, Google's default credentials apply."""

    gcs_credential_name: luigi.StrParameter = luigi.StrParameter(
        default="GCS_CREDENTIAL",
        description="The environment variable that holds the path, or the text, of a service account's JSON.",
    )

    _client: luigi.contrib.gcs.GCSClient | None = None

    def get_gcs_client(self) -> luigi.contrib.gcs.GCSClient:
        """Return luigi's client of GCS, for programs that use it directly; created once.

        Returns
        -------
        luigi.contrib.gcs.GCSClient
            The client.

        Raises
        ------
        ImportError
            google-api-python-client is not installed. kart does not use it, so no extra contains it.
        """
        if self._client is None:
            if find_spec("googleapiclient") is None:
                raise ImportError("luigi's client of GCS needs its library: pip install google-api-python-client")
            import luigi.contrib.gcs as contrib

            self._client = contrib.GCSClient(oauth_credentials=self._credentials())
        return self._client

    def _credentials(self) -> Any:
        text = os.environ.get(self.gcs_credential_name)
        if not text:
            return None
        from google.oauth2.service_account import Credentials

        if text.lstrip().startswith("{"):
            return Credentials.from_service_account_info(json.loads(text))
        return Credentials.from_service_account_file(text)


__all__ = ["GCSConfig"]
