"""`noiseproof data`: all that is missing or odd is named at once; the exit code says whether it can be used."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from campaigns.hostile.corpus import good_cifar
from noiseproof.cli.data import app
from noiseproof.data.check import check
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.errors import MachineError, UnknownNameError


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(path)
    return path


def test_a_sound_data_set_is_described():
    report = check("digits")
    assert report.usable
    assert report.right[0].startswith("10 classes, fingerprint ")
    assert report.right[1:] == ["train: 1,438 samples, 139 to 146 a class", "test: 359 samples, 35 to 37 a class"]
    assert report.odd == report.wrong == report.unreadable == []


def test_the_real_cifars_are_usable_and_an_unofficial_copy_is_said(cifar_root):
    ten, hundred = check("cifar10", cifar_root), check("cifar100", cifar_root)
    assert ten.usable
    assert hundred.usable
    assert hundred.odd == []
    assert "train: 50,000 samples, 500 a class" in hundred.right
    assert all("training labels: the official ones in their order" in report.right for report in (ten, hundred))
    # 92 images of the copy that the tests use are stand-ins
    assert [line for line in ten.odd if not line.startswith("not the official cifar10 files: data_batch_1")] == []


def test_counts_that_are_not_the_official_ones_are_odd(tmp_path):
    good_cifar(tmp_path, 10)
    report = check("cifar10", tmp_path)
    assert report.usable
    assert "train: 50 samples, the official number is 50,000" in report.odd
    assert "training labels: not the official ones in their order; published noise does not fit" in report.odd
    assert "train: 9 classes have no sample (b, c, d, e, f)" in report.odd


def test_every_damaged_or_missing_batch_is_named(tmp_path):
    home = good_cifar(tmp_path)
    (home / "data_batch_2").unlink()
    (home / "data_batch_4").write_bytes(b"\x80\x02cos\nsystem\n.")
    report = check("cifar10", tmp_path)
    assert not report.usable
    assert len(report.wrong) == 2
    assert "data_batch_2: no such file" in report.wrong[0]
    assert "data_batch_4: refused, the file asks for os.system" in report.wrong[1]


@pytest.mark.parametrize(("name", "missing"), [("mnist", 4), ("clothing1m", 4), ("webvision", 2), ("cifar10", 1)])
def test_of_what_is_not_there_all_is_named(tmp_path, name, missing):
    report = check(name, tmp_path)
    assert not report.usable
    assert len(report.wrong) == missing
    assert all(str(tmp_path) in line for line in report.wrong)


def test_unreadable_images_are_all_listed(tmp_path):
    for name in "ab":
        for i in range(20):
            picture(tmp_path / name / f"{i:02}.png")
    spoilt = [tmp_path / "a" / "03.png", tmp_path / "b" / "11.png", tmp_path / "b" / "12.png"]
    for path in spoilt:
        path.write_bytes(path.read_bytes()[:50])
    told: list[tuple[int, int]] = []
    report = check(str(tmp_path), progress=lambda *news: told.append(news))
    assert report.usable  # the rest of them is
    assert sorted(line.partition(":")[0] for line in report.unreadable) == ["a/03.png", "b/11.png", "b/12.png"]
    assert told[-1] == (37, 37)
    strict = check(str(tmp_path), options=ReadingOptions(strict=True))
    assert not strict.usable
    assert str(spoilt[0]) in strict.wrong[0]


def test_webvision_lists_are_checked_against_the_images(tmp_path, real_data):
    shutil.copy(real_data / "webvision" / "webvision_mini_train.txt.gz", tmp_path)
    report = check("webvision", tmp_path)
    assert "65,944 of 65,944 files are not in" in report.wrong[0]
    assert "no list of validation images" in report.wrong[1]


SETS = {"cifar10n": 5, "cifar100n": 1, "cifar10-instance": 3, "cifar100-instance": 3}


@pytest.mark.parametrize(("name", "sets"), SETS.items())
def test_label_sets_are_described_by_their_noise(real_data, name, sets):
    report = check(name, real_data)
    assert report.usable
    assert len(report.right) == sets
    assert all("50,000 labels, " in line and "% differ from the truth" in line for line in report.right)
    assert report.odd == []


def test_one_label_that_was_not_published_is_said(tmp_path, real_data):
    with np.load(real_data / "cifar-n" / "cifar10n_labels.npz") as held:
        labels = dict(held)
    labels["worse_label"][7] = (labels["worse_label"][7] + 1) % 10
    np.savez(tmp_path / "cifar10n_labels.npz", **labels)
    report = check("cifar10n", tmp_path)
    assert report.usable
    assert report.odd == ["worst: not the labels that were published"]


def test_a_label_set_that_is_not_there_says_how_to_get_it(tmp_path, real_data):
    assert "noiseproof data fetch cifar10n" in check("cifar10n", tmp_path).wrong[0]
    shutil.copy(real_data / "cifar-n" / "CIFAR-10_human.pt", tmp_path)
    report = check("cifar10-instance", tmp_path)
    assert [line.partition(":")[0] for line in report.wrong] == ["instance-0.2", "instance-0.4", "instance-0.6"]


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'cifar10'"):
        check("cifar01")


# The command line


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def test_the_command_says_usable_with_code_0_and_not_usable_with_code_2(tmp_path):
    code, text = run("check", "digits")
    assert code == 0
    assert text.endswith("digits: usable\n")
    code, text = run("check", "mnist", "--root", tmp_path)
    assert code == 2
    assert text.count("\n! ") == 3  # and one on the first line
    assert text.endswith("mnist: not usable\n")


def test_the_command_prints_json(tmp_path):
    picture(tmp_path / "a" / "x.png").write_bytes(b"no image")
    for i in range(5):
        picture(tmp_path / "a" / f"{i}.png")
        picture(tmp_path / "b" / f"{i}.png")
    code, text = run("check", tmp_path, "--json")
    found = json.loads(text)
    assert code == 0
    assert found["usable"] is True
    assert found["unreadable"] == ["a/x.png: damaged or no picture"]
    assert set(found) == {"name", "root", "right", "odd", "wrong", "unreadable", "usable", "reading"}
    assert found["reading"]["counts"] == {"a": 5, "b": 5}
    assert run("check", tmp_path, "--strict")[0] == 2


def test_fetch_refuses_what_it_cannot_fetch(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'fashion-mnist'"):
        run("fetch", "fashion-mnits", "--root", tmp_path)
    with pytest.raises(MachineError, match="refused"):
        run("fetch", "cifar10n", "--root", tmp_path, "--mirror", "http://127.0.0.1:9")


def test_a_full_disk_stops_a_download_with_one_message(tmp_path):
    """A limit on the size of files is the nearest to a full disk that needs no rights."""
    script = (
        "import resource, signal, sys, threading, http.server, hashlib\n"
        "from pathlib import Path\n"
        "from noiseproof.data.io.download import download\n"
        "from noiseproof.data.dataset_registry import Remote\n"
        "from noiseproof.errors import MachineError\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.send_header('Content-Length', '4000000'); self.end_headers()\n"
        "        self.wfile.write(bytes(4_000_000))\n"
        "    def log_message(self, *args): pass\n"
        "server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "url = f'http://127.0.0.1:{server.server_port}/x.bin'\n"
        "try: download(Remote(url, 'x.bin', 4_000_000, md5='0' * 32), Path(sys.argv[1]) / 'x.bin')\n"
        "except MachineError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert "could not write" in done.stdout, done.stderr
    assert "File too large" in done.stdout
    assert (tmp_path / "x.bin.part").stat().st_size <= 1_000_000
    assert not (tmp_path / "x.bin").exists()
