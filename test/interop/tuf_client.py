"""Refreshes a TUF repository in a directory with python-tuf and downloads targets.

    tuf_client.py ROOT.json METADATA_DIR TARGETS_DIR STATE_DIR [NAME...]

Prints one JSON object: the SHA-256 of each NAME as downloaded. A refusal is status 1.
"""

import hashlib
import json
import pathlib
import sys
import urllib.parse

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater


class Directory(FetcherInterface):
    def _fetch(self, url):
        # File names are percent-encoded in metadata URLs; targets are stored under their own names.
        path = pathlib.Path(url.removeprefix("file://"))
        if not path.is_file():
            path = pathlib.Path(urllib.parse.unquote(str(path)))
        if not path.is_file():
            raise DownloadHTTPError(f"no {url}", 404)
        yield path.read_bytes()


def main():
    root, metadata, targets, state, *names = sys.argv[1:]
    updater = Updater(
        metadata_dir=state,
        metadata_base_url=f"file://{metadata}/",
        target_dir=state,
        target_base_url=f"file://{targets}/",
        fetcher=Directory(),
        bootstrap=pathlib.Path(root).read_bytes(),
    )
    updater.refresh()
    found = {}
    for name in names:
        info = updater.get_targetinfo(name)
        if info is None:
            raise SystemExit(f"{name}: not named")
        path = updater.download_target(info)
        found[name] = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    print(json.dumps(found))


main()
