"""Built-in data that is downloaded: from a server on this machine. What is damaged is never kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from fuzzing import check_sentence
from image_data import idx, pictures

from wellfit.data import downloads, fashion, load
from wellfit.errors import DataError
from wellfit.messages import speaking

CONTENT = {
    "train-images-idx3-ubyte.gz": idx(pictures(20)),
    "train-labels-idx1-ubyte.gz": idx(np.arange(20, dtype=np.uint8) % 10),
    "t10k-images-idx3-ubyte.gz": idx(pictures(10, seed=2)),
    "t10k-labels-idx1-ubyte.gz": idx(np.arange(10, dtype=np.uint8)),
}
SUMS = {name: sha256(content).hexdigest() for name, content in CONTENT.items()}


class Mirror:
    """A server of files; ``asked`` lists what was asked for, ``files`` what it has."""

    def __init__(self) -> None:
        self.files = {f"/{name}": content for name, content in CONTENT.items()}
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                content = mirror.files.get(self.path)
                self.send_response(200 if content is not None else 404)
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Mirror]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = [Mirror(), Mirror()]
    yield made
    for mirror in made:
        mirror.close()


def addresses(mirrors: list[Mirror]) -> list[str]:
    return [mirror.address for mirror in mirrors]


def test_fashion_mnist_is_downloaded_once_checked_and_read(
    mirrors: list[Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fashion, "CHECKSUMS", SUMS)
    monkeypatch.setattr(fashion, "MIRRORS", addresses(mirrors))
    monkeypatch.setattr(downloads, "_cache", lambda name: tmp_path / name)
    monkeypatch.setenv(downloads.VARIABLE, str(tmp_path / "elsewhere"))  # which has no such folder
    for _ in range(2):
        table = load("fashion-mnist")
    np.testing.assert_array_equal(table.inputs[:, 0], np.concatenate([pictures(20), pictures(10, seed=2)]))
    assert table.test_rows.tolist() == list(range(20, 30))
    assert table.classes == fashion.CLASSES
    assert mirrors[0].asked == [f"/{name}" for name in CONTENT]
    assert mirrors[1].asked == []
    assert capfd.readouterr() == ("", "")
    # A copy of the cache that was damaged since is fetched again.
    (tmp_path / "fashion-mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(b"damaged")
    assert load("fashion-mnist").rows == 30
    assert len(mirrors[0].asked) == 5


def test_another_mirror_is_asked_where_one_lacks_a_file_or_has_a_wrong_one(
    mirrors: list[Mirror], tmp_path: Path
) -> None:
    lacking, wrong, *_ = CONTENT
    del mirrors[0].files[f"/{lacking}"]
    mirrors[0].files[f"/{wrong}"] = CONTENT[wrong][:-5]
    found = downloads.download(SUMS, addresses(mirrors), tmp_path)
    assert {name: path.read_bytes() for name, path in found.items()} == CONTENT
    assert mirrors[1].asked == [f"/{lacking}", f"/{wrong}"]


@pytest.mark.parametrize(("content", "key"), [(b"", "images.download_damaged"), (None, "images.download_failed")])
def test_a_download_that_fails_keeps_nothing_and_says_where_to_put_the_file(
    mirrors: list[Mirror], tmp_path: Path, content: bytes | None, key: str
) -> None:
    bad = "t10k-images-idx3-ubyte.gz"
    for mirror in mirrors:
        if content is None:
            del mirror.files[f"/{bad}"]
        else:
            mirror.files[f"/{bad}"] = CONTENT[bad][:-1]
    folder = tmp_path / "fashion-mnist"
    with pytest.raises(DataError) as caught:
        downloads.download(SUMS, addresses(mirrors), folder)
    assert caught.value.key == key
    for language in ("en", "zh"):
        with speaking(language):
            check_sentence(str(caught.value))
            for word in (bad, str(folder), "WELLFIT_DATA", mirrors[1].address):
                assert word in str(caught.value)
    assert sorted(path.name for path in folder.iterdir()) == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]


def test_no_server_at_all(tmp_path: Path) -> None:
    closed = Mirror()
    closed.close()
    with pytest.raises(DataError, match="cannot be downloaded now"):
        downloads.download(SUMS, [closed.address], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_of_ones_own_are_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    monkeypatch.setenv(downloads.VARIABLE, str(tmp_path))
    monkeypatch.setattr(fashion, "CHECKSUMS", SUMS)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    assert load("Fashion_MNIST").rows == 30
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(np.zeros(10, np.uint8)))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz is not the file"):
        load("fashion-mnist")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz cannot be read: No such file"):
        load("fashion-mnist")
