"""Settings of ``[S3Config]`` in luigi's configuration, and luigi's client of S3.

kart's own store reads the same section (`storage.stores.s3`) and needs neither this class nor luigi's client.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

import luigi

from kart_runtime.errors import ExtraMissing

if TYPE_CHECKING:
    import luigi.contrib.s3


class S3Config(luigi.Config):
    """Names of the environment variables with the two keys; if they are empty, boto3's default credentials apply."""

    aws_access_key_id_name: luigi.Parameter[str] = luigi.Parameter(
        default="AWS_ACCESS_KEY_ID", description="The environment variable that holds the id of the access key."
    )
    aws_secret_access_key_name: luigi.Parameter[str] = luigi.Parameter(
        default="AWS_SECRET_ACCESS_KEY", description="The environment variable that holds the secret access key."
    )

    _client: luigi.contrib.s3.S3Client | None = None

    def get_s3_client(self) -> luigi.contrib.s3.S3Client:
        """Return luigi's client of S3, for programs that use it directly; created once.

        Returns
        -------
        luigi.contrib.s3.S3Client
            The client.

        Raises
        ------
        ExtraMissing
            boto3 is not installed.
        """
        if self._client is None:
            if find_spec("boto3") is None:
                raise ExtraMissing("luigi's client of S3 needs boto3", "s3")
            import luigi.contrib.s3 as contrib

            self._client = contrib.S3Client(
                aws_access_key_id=os.environ.get(self.aws_access_key_id_name),
                aws_secret_access_key=os.environ.get(self.aws_secret_access_key_name),
            )
        return self._client


__all__ = ["S3Config"]
