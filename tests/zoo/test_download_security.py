"""Downloads: one place for each URL, one writer, whole content, and addresses of every shape."""

import hashlib
import io
import multiprocessing
import os
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.zoo.downloads import fetch, file_name_of, shown
from tests.support.processes import PATIENCE

FIRST, SECOND = bytes(range(256)) * 4000, bytes(reversed(range(256))) * 4000
DIGEST = hashlib.sha256(FIRST).hexdigest()[:8]


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(10_000))
    return buffer.getvalue()


@pytest.fixture
def server():
    """Serve ``Handler.files`` by path, with ranges; ``cut`` ends answers early, ``kept`` leaves headers out."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        files: dict = {}
        tags: dict = {}
        asked: list = []
        cut = None
        no_length = chunked = lies = False

        def do_GET(self):
            path = self.path.partition("?")[0]
            content = Handler.files.get(path)
            if content is None:
                self.send_error(404)
                return
            asked = self.headers.get("Range")
            tag = Handler.tags.get(path)
            if asked and (condition := self.headers.get("If-Range")) and condition != tag:
                asked = None
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            Handler.asked.append((path, start))
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = content[start:]
            self.send_response(206 if start else 200)
            if start:
                where = 0 if Handler.lies else start
                self.send_header("Content-Range", f"bytes {where}-{len(content) - 1}/{len(content)}")
            if tag:
                self.send_header("ETag", tag)
            if Handler.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif not Handler.no_length:
                self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            body = body if Handler.cut is None else body[: Handler.cut]
            if Handler.chunked:
                self.wfile.write(f"{len(content):x}\r\n".encode() + body)
            else:
                self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *_):
            pass

    instance = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=instance.serve_forever, daemon=True).start()
    Handler.url = f"http://127.0.0.1:{instance.server_port}"
    yield Handler
    instance.shutdown()
    instance.server_close()


def test_two_urls_with_one_file_name_are_two_files(server, tmp_path):
    server.files |= {"/a/best.pth": FIRST, "/b/best.pth": SECOND}
    one, two = (fetch(f"{server.url}/{run}/best.pth", tmp_path, "weightsPath") for run in "ab")
    assert (one.read_bytes(), two.read_bytes()) == (FIRST, SECOND)
    assert one.name == two.name == "best.pth"
    three = fetch(f"{server.url}/b/best.pth?version=2", tmp_path, "weightsPath")
    assert three not in (one, two)
    assert fetch(f"{server.url}/a/best.pth", tmp_path, "weightsPath") == one
    assert len(server.asked) == 3


def _fetch(url, cache, barrier, results):
    barrier.wait()
    results.put(hashlib.sha256(fetch(url, cache, "weightsPath").read_bytes()).hexdigest())


def test_many_processes_at_once_are_one_download(server, tmp_path):
    server.files["/a/best.pth"] = FIRST
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    arguments = (f"{server.url}/a/best.pth", tmp_path, barrier, results)
    processes = [context.Process(target=_fetch, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    found = {results.get(timeout=PATIENCE) for _ in processes}
    for process in processes:
        process.join(PATIENCE)
    assert found == {hashlib.sha256(FIRST).hexdigest()}
    assert len(server.asked) == 1


def test_an_interrupted_download_goes_on_where_the_version_is_the_same(server, tmp_path):
    url = f"{server.url}/best.pth"
    server.files["/best.pth"], server.tags["/best.pth"], server.cut = FIRST, '"one"', 100_000
    with pytest.raises(WeightsError, match="could not be downloaded"):
        fetch(url, tmp_path, "weightsPath")
    server.cut = None
    assert fetch(url, tmp_path, "weightsPath").read_bytes() == FIRST
    assert server.asked[-1] == ("/best.pth", 100_000)


@pytest.mark.parametrize("tags", [('"one"', '"two"'), (None, None), ('W/"one"', 'W/"one"')])
def test_parts_of_two_versions_are_never_mixed(server, tmp_path, tags):
    url = f"{server.url}/best.pth"
    server.files["/best.pth"], server.tags["/best.pth"], server.cut = FIRST, tags[0], 100_000
    with pytest.raises(WeightsError):
        fetch(url, tmp_path, "weightsPath")
    server.files["/best.pth"], server.tags["/best.pth"], server.cut = SECOND, tags[1], None
    assert fetch(url, tmp_path, "weightsPath").read_bytes() == SECOND


def test_a_server_that_sends_another_part_is_not_believed(server, tmp_path):
    url = f"{server.url}/best-{DIGEST}.pth"
    server.files[f"/best-{DIGEST}.pth"], server.cut = FIRST, 100_000
    with pytest.raises(WeightsError):
        fetch(url, tmp_path, "weightsPath")
    server.cut, server.lies = None, True
    with pytest.raises(WeightsError, match="another part than it was asked for"):
        fetch(url, tmp_path, "weightsPath")


@pytest.mark.parametrize(
    ("content", "how", "words"),
    [
        (FIRST, {"cut": 1000}, r"(the connection ended after|IncompleteRead|1000 of)"),
        (FIRST, {"cut": 1000, "chunked": True}, "IncompleteRead"),
        (zipped(), {"cut": 5000, "no_length": True}, "records do not agree"),
        (zipped()[:3000] + b"x" + zipped()[3001:], {}, "records do not agree"),
        (b"<!DOCTYPE html><title>Sign in</title>", {}, "a web page"),
        (b"\n <html>", {}, "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", {}, "a pointer"),
    ],
)
def test_what_did_not_arrive_whole_is_not_kept(server, tmp_path, content, how, words):
    server.files["/best.pth"] = content
    for name, value in how.items():
        setattr(server, name, value)
    with pytest.raises(WeightsError, match=words):
        fetch(f"{server.url}/best.pth", tmp_path, "weightsPath")
    assert not list(tmp_path.rglob("best.pth"))


def test_a_file_of_torch_is_taken_where_its_name_agrees(server, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    kept = tmp_path / "checkpoints" / f"net-{DIGEST}.pth"
    kept.write_bytes(FIRST)
    assert fetch(f"{server.url}/x/net-{DIGEST}.pth", tmp_path, "weightsPath") == kept
    kept.write_bytes(SECOND)
    server.files[f"/x/net-{DIGEST}.pth"] = FIRST
    assert fetch(f"{server.url}/x/net-{DIGEST}.pth", tmp_path, "weightsPath").read_bytes() == FIRST
    assert kept.read_bytes() == SECOND


def test_planted_links_are_not_written_through(server, tmp_path):
    url = f"{server.url}/best.pth"
    server.files["/best.pth"] = FIRST
    folder = fetch(url, tmp_path, "weightsPath").parent
    (folder / "best.pth").unlink()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / "best.pth.part").symlink_to(victim)
    with pytest.raises(WeightsError, match="could not be downloaded"):
        fetch(url, tmp_path, "weightsPath")
    (folder / "best.pth.part").unlink()
    (folder / "lock").unlink()
    (folder / "lock").symlink_to(tmp_path / "made")
    with pytest.raises(WeightsError, match="could not be downloaded"):
        fetch(url, tmp_path, "weightsPath")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "made").exists()


ODD = [
    "http://127.0.0.1:1/",
    "http://127.0.0.1:1",
    "http://127.0.0.1:1/a/..",
    "http://127.0.0.1:1/a/../../../../etc/passwd",
    "http://127.0.0.1:1/%2e%2e%2f%2e%2e%2fpasswd",
    "http://127.0.0.1:1/.",
    "http://127.0.0.1:1/...",
    "http://127.0.0.1:1/a/b//",
    "http://127.0.0.1:1/" + "x" * 5000 + ".pth",
    "http://127.0.0.1:1/a b\tc.pth",
    "http://127.0.0.1:1/\x1b[31m.pth",
    "http://127.0.0.1:1/é狗.pth",
    "http://127.0.0.1:1/\udcff.pth",
    "http://127.0.0.1:1/a\nHost: evil",
    "http://127.0.0.1:1/a\0b",
    "http://user:secret@127.0.0.1:1/a.pth?token=secret",
    "http://127.0.0.1:99999/a.pth",
    "http://127.0.0.1:x/a.pth",
    "http://[::1/a.pth",
    "http://[::g]/a.pth",
    "http:///a.pth",
    "http://",
    "https://",
    "http://\u2100.example/a.pth",
    "http://" + "a" * 300 + "/x.pth",
    "http://-.invalid/x.pth",
    "file:///etc/passwd",
    "ftp://127.0.0.1/x",
    "data://x",
    "s3://bucket/x",
    "://x",
    "torchvision://",
    "torchvision://../../x",
    "mmdet::",
    "mmdet::../../../etc/passwd",
]


@pytest.mark.parametrize("url", ODD, ids=range(len(ODD)))
def test_an_odd_address_is_one_sentence(tmp_path, url):
    with pytest.raises(WeightsError) as raised:
        fetch(url, tmp_path / "cache", "weightsPath")
    words = str(raised.value)
    assert "secret" not in words
    assert "\x1b" not in words
    assert len(words) < 1000
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"]
    assert outside == []


@pytest.mark.parametrize("url", [url for url in ODD if url.startswith("http")])
def test_names_of_files_are_plain(url):
    name = file_name_of(url)
    assert name not in ("", ".", "..")
    assert "/" not in name
    assert len(name) <= 100
    assert name.isascii()
    assert name.isprintable()
    assert "secret" not in shown(url)


@pytest.mark.parametrize("cache", ["below a file", "not writable", "a pipe"])
def test_a_cache_that_is_no_folder_is_one_sentence(tmp_path, cache, server):
    server.files["/best.pth"] = FIRST
    place = tmp_path / "cache"
    if cache == "below a file":
        place.write_text("file")
        place = place / "inner"
    elif cache == "a pipe":
        os.mkfifo(place)
    else:
        place = "/proc/nothing"
    from pathlib import Path

    with pytest.raises(WeightsError, match="could not be downloaded"):
        fetch(f"{server.url}/best.pth", Path(place), "weightsPath")
