"""The tests' proxy in a process of its own: ``remote_proxy SCHEME PORT``, where PORT is that of the server.

It prints its own port when it is ready. It answers each line of its standard input, ``begin MILLISECONDS`` (reset the
counts, delay each request) or ``counts``, with the number of requests of each kind, and ends when its input ends.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from urllib.parse import parse_qs, urlsplit

from tests.runtime.servers import GCSFront, Proxy


def s3_kind(method: str, target: str) -> str:
    """Return the kind of an S3 request."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    if not parts.path.strip("/").partition("/")[2]:
        return "LIST" if method == "GET" else "DELETE many" if "delete" in query else f"{method} bucket"
    if "partNumber" in query:
        return "PUT part"
    if "uploads" in query or "uploadId" in query:
        return "multipart"
    return method


def gcs_kind(method: str, target: str) -> str:
    """Return the kind of a request to the JSON API of GCS."""
    parts = urlsplit(target)
    query = parse_qs(parts.query)
    if "upload_id" in query:
        return "PUT part"
    if method == "POST":
        return "POST begin" if query.get("uploadType") == ["resumable"] else "POST object"
    if method == "GET":
        _, objects, name = parts.path.partition("/o")
        if not objects:
            return "GET bucket"
        return "LIST" if not name.strip("/") else "GET" if query.get("alt") == ["media"] else "GET metadata"
    return method


if __name__ == "__main__":
    kind = s3_kind if sys.argv[1] == "s3" else gcs_kind
    server = f"http://127.0.0.1:{sys.argv[2]}"
    with Proxy(server) if sys.argv[1] == "s3" else GCSFront(server) as proxy:
        print(urlsplit(proxy.url).port, flush=True)
        for line in sys.stdin:
            word, *rest = line.split()
            if word == "begin":
                proxy.reset()
                proxy.delay = float(rest[0]) / 1000
            print(json.dumps(Counter(kind(sent.method, sent.path) for sent in list(proxy.requests))), flush=True)
