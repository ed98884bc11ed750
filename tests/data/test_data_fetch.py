"""Downloads against a server on this machine that does everything servers do."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from noiseproof.data.dataset_registry import Remote
from noiseproof.data.io.download import download, fetch, fetchable
from noiseproof.errors import DataError, InputError, MachineError, UnknownNameError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
URL = "https://example.org/path/file.bin"
REMOTE = Remote(URL, "sub/file.bin", len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
BY_MD5 = Remote(REMOTE.url, REMOTE.path, REMOTE.size, md5=hashlib.md5(CONTENT).hexdigest())


class Handler(BaseHTTPRequestHandler):
    """Behaves as the last part of the address says: /KIND/file.bin."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        self.server.asked.append(self.headers.get("Range"))  # type: ignore[attr-defined]
        content = b"x" * len(CONTENT) if kind == "other" else CONTENT
        start = 0
        if kind == "missing":
            self.send_error(404)
            return
        if kind == "page":
            self._head(200, 30, "text/html")
            self.wfile.write(b"<html>please log in</html>".ljust(30))
            return
        if kind in ("good", "breaks") and (wanted := re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")):
            start = int(wanted[1])
            self._head(206, len(content) - start)
        elif kind == "long":
            content += b"!"
            self._head(200, len(content))
        else:
            self._head(200, len(content))
        if kind == "breaks":  # 300 kB at a time
            self.wfile.write(content[start : start + 300_000])
            self.close_connection = True
        elif kind == "short":
            self.wfile.write(content[:1000])
            self.close_connection = True
        elif kind == "stalls":
            self.wfile.write(content[:70_000])
            self.wfile.flush()
            self.server.stop.wait(20)  # type: ignore[attr-defined]
        else:
            self.wfile.write(content[start:])

    def _head(self, code: int, length: int, kind: str = "application/octet-stream") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hung up is part of the game."""

    running = Quiet(("127.0.0.1", 0), Handler)
    running.stop = threading.Event()  # type: ignore[attr-defined]
    running.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield running
    running.stop.set()  # type: ignore[attr-defined]
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def mirror(server):
    server.asked.clear()
    return lambda kind: f"http://127.0.0.1:{server.server_port}/{kind}"


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("remote", [REMOTE, BY_MD5])
def test_the_right_file_is_kept_and_not_fetched_twice(mirror, server, tmp_path, remote):
    told = []
    target = tmp_path / remote.path
    assert download(remote, target, mirror=mirror("good"), progress=lambda *news: told.append(news)) == target
    assert target.read_bytes() == CONTENT
    assert told[-1] == (remote.path, len(CONTENT), len(CONTENT))
    assert parts(tmp_path) == ["file.bin"]
    download(remote, target, mirror=mirror("missing"))
    assert len(server.asked) == 1


def test_a_file_with_another_hash_is_not_kept(mirror, tmp_path):
    with pytest.raises(DataError, match=r"is not the official file.bin \(its hash differs\); nothing was kept"):
        download(REMOTE, tmp_path / "file.bin", mirror=mirror("other"))
    assert parts(tmp_path) == []


def test_a_broken_connection_is_taken_up_where_it_broke(mirror, server, tmp_path):
    download(REMOTE, tmp_path / "file.bin", mirror=mirror("breaks"))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_connection_that_always_breaks_says_what_is_kept_and_the_next_call_goes_on(mirror, server, tmp_path):
    with pytest.raises(MachineError, match=r"1,000 of 1,048,576 bytes are kept, type the same again to go on"):
        download(REMOTE, tmp_path / "file.bin", mirror=mirror("short"))
    assert parts(tmp_path) == ["file.bin.part"]
    download(REMOTE, tmp_path / "file.bin", mirror=mirror("good"))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=1000-"
    assert parts(tmp_path) == ["file.bin"]


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(mirror, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:5000])
    download(REMOTE, tmp_path / "file.bin", mirror=mirror("plain"))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_that_is_wrong_or_too_long_does_not_stay(mirror, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"?" * 5000)
    with pytest.raises(DataError, match="its hash differs"):
        download(REMOTE, tmp_path / "file.bin", mirror=mirror("good"))
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"?")
    download(REMOTE, tmp_path / "file.bin", mirror=mirror("good"))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_whole_part_needs_no_server(tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    download(REMOTE, tmp_path / "file.bin", mirror="http://127.0.0.1:9")
    assert parts(tmp_path) == ["file.bin"]


def test_a_second_fetch_waits_for_the_first_and_asks_the_server_for_nothing(mirror, server, tmp_path):
    target, others = tmp_path / "file.bin", list[Future[Path]]()
    with ThreadPoolExecutor() as side_by_side:

        def begun(*news: object) -> None:
            while len(others) < 3:
                others.append(side_by_side.submit(download, REMOTE, target, mirror=mirror("good")))

        download(REMOTE, target, mirror=mirror("good"), progress=begun)
        assert [other.result() for other in others] == [target] * 3
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert parts(tmp_path) == ["file.bin"]


def test_a_web_page_is_recognised(mirror, tmp_path):
    with pytest.raises(DataError, match=r"the server sent a web page, not sub/file.bin"):
        download(REMOTE, tmp_path / "file.bin", mirror=mirror("page"))
    assert parts(tmp_path) == []


def test_more_than_the_official_size_is_not_read(mirror, tmp_path):
    with pytest.raises(DataError, match="more than the 1,048,576 bytes of the official file came"):
        download(REMOTE, tmp_path / "file.bin", mirror=mirror("long"))


def test_a_missing_file_and_a_missing_server_say_so_at_once(mirror, server, tmp_path):
    with pytest.raises(MachineError, match="the server answers 404 Not Found; try another --mirror"):
        download(REMOTE, tmp_path / "file.bin", mirror=mirror("missing"))
    assert len(server.asked) == 1
    with pytest.raises(MachineError, match="refused"):
        download(REMOTE, tmp_path / "file.bin", mirror="http://127.0.0.1:9")


def test_a_server_that_falls_silent_is_given_up(mirror, tmp_path):
    with pytest.raises(MachineError, match="timed out"):
        download(REMOTE, tmp_path / "file.bin", mirror=mirror("stalls"), timeout=0.3)


def test_a_file_that_is_there_and_is_another_is_left_alone(mirror, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"mine")
    with pytest.raises(DataError, match="is there already and is not the official file; move it away"):
        download(REMOTE, tmp_path / "file.bin", mirror=mirror("good"))
    assert (tmp_path / "file.bin").read_bytes() == b"mine"


def test_addresses_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(InputError, match="an address starts with http:// or https://"):
        download(REMOTE, tmp_path / "file.bin", mirror=f"file://{tmp_path}")


def test_what_can_be_fetched_has_an_https_address_a_size_and_a_hash(tmp_path):
    labels = {"cifar10n", "cifar100n", "cifar10-instance", "cifar100-instance"}
    assert set(fetchable()) == {"cifar10", "cifar100", "mnist", "fashion-mnist"} | labels
    for remotes in fetchable().values():
        for remote in remotes:
            assert remote.url.startswith("https://")
            assert remote.size > 0
            assert len(remote.sha256) == 64 or len(remote.md5) == 32
    with pytest.raises(InputError, match="webvision cannot be downloaded by a program; ask at https://"):
        fetch("webvision", tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'cifar10n'"):
        fetch("cifar10nn", tmp_path)


def test_the_published_label_files_are_the_ones_that_are_fetched(real_data, tmp_path):
    import gzip

    for name in ("cifar10n", "cifar100n"):
        (remote,) = fetchable()[name]
        content = (real_data / "cifar-n" / remote.path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (remote.size, remote.sha256)
    for name in ("cifar10-instance", "cifar100-instance"):
        for remote in fetchable()[name]:
            content = gzip.decompress((real_data / "instance-dependent" / f"{remote.path}.gz").read_bytes())
            assert (len(content), hashlib.sha256(content).hexdigest()) == (remote.size, remote.sha256)
