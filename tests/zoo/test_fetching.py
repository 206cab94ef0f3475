"""Downloads of weights against a real server on this machine: resumed, checked, kept, and refused when damaged."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.zoo.downloads import fetch, url_of

CONTENT = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.fixture
def server():
    """Serve CONTENT at any path, ranges included; ``asked`` lists the ranges, ``cut`` ends answers early."""

    class Handler(BaseHTTPRequestHandler):
        asked: list = []
        cut = None

        def do_GET(self):
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
            self.asked.append(start)
            if "missing" in self.path:
                self.send_error(404)
                return
            body = CONTENT[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if Handler.cut is None else body[: Handler.cut])

        def log_message(self, *_):
            pass

    instance = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=instance.serve_forever, daemon=True)
    thread.start()
    Handler.url = f"http://127.0.0.1:{instance.server_port}"
    yield Handler
    instance.shutdown()
    instance.server_close()


def test_a_download_is_checked_and_kept(server, tmp_path):
    url = f"{server.url}/net-{DIGEST}.pth"
    path = fetch(url, tmp_path, "weightsPath")
    assert path.read_bytes() == CONTENT
    assert fetch(url, tmp_path, "weightsPath") == path
    assert len(server.asked) == 1


def test_an_interrupted_download_goes_on(server, tmp_path):
    url = f"{server.url}/net-{DIGEST}.pth"
    server.cut = 100_000
    with pytest.raises(WeightsError, match="could not be downloaded"):
        fetch(url, tmp_path, "weightsPath")
    server.cut = None
    assert fetch(url, tmp_path, "weightsPath").read_bytes() == CONTENT
    assert server.asked[-1] == 100_000


def test_a_damaged_download_is_not_used(server, tmp_path):
    with pytest.raises(WeightsError, match=f"its checksum begins with {DIGEST}, expected 00000000"):
        fetch(f"{server.url}/net-00000000.pth", tmp_path, "weightsPath")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]


def test_a_missing_file_is_one_sentence(server, tmp_path):
    with pytest.raises(WeightsError, match="weightsPath .*missing.pth could not be downloaded .*: set pretrained"):
        fetch(f"{server.url}/missing.pth", tmp_path, "weightsPath")


def test_names_of_model_zoos():
    assert url_of("mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco", "w").endswith(".pth")
    assert url_of("torchvision://resnet50", "w").startswith("https://download.pytorch.org/")
    assert url_of("open-mmlab://detectron2/resnet50_caffe", "w").startswith("https://")
    with pytest.raises(WeightsError, match="did you mean 'resnet50'"):
        url_of("torchvision://resnet500", "w")
    with pytest.raises(WeightsError, match="the zoo has no weights for it"):
        url_of("mmdet::mask_rcnn/nothing", "w")
    with pytest.raises(WeightsError, match="ftp:// is not known"):
        url_of("ftp://a/b", "w")
