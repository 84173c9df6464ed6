"""The examples beside digits.py: each run for real, shortened, with the result that so many epochs give."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def _examples_import_what_they_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("sklearn", "matplotlib", "tqdm"):
        pytest.importorskip(name)


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_example", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(name: str, out: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The one line an example prints; its plots and its graph are looked at."""
    assert loaded(name).main([*options, "--out", str(out)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    files = {path.name for path in out.iterdir()}
    drawn = {"loss.svg"} if shutil.which("dot") and importlib.util.find_spec("graphviz") else {"loss.dot", "loss.txt"}
    assert drawn <= files
    plots = [path for path in out.iterdir() if path.suffix == ".png"]
    assert plots
    assert all(path.read_bytes().startswith(PNG) for path in plots)
    return line


def test_autoencoder_beats_principal_components(tmp_path: Path, capsys) -> None:
    line = run("autoencoder", tmp_path, capsys, "--epochs", "25")
    assert float(line.split()[4]) < 0.8
    assert {"digits.png", "losses.png"} <= {path.name for path in tmp_path.iterdir()}


def test_sunspots_beats_the_naive_forecast(tmp_path: Path, capsys) -> None:
    pytest.importorskip("statsmodels")
    line = run("sunspots", tmp_path, capsys, "--epochs", "5")
    assert float(line.split()[4]) < 0.7
    assert {"forecast.png", "losses.png"} <= {path.name for path in tmp_path.iterdir()}


def test_lenet_reads_most_digits_after_three_epochs(tmp_path: Path, capsys) -> None:
    line = run("lenet", tmp_path, capsys, "--epochs", "3")
    assert float(line.split()[2]) > 90
    assert {"curves.png", "misread.png"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.in_turn(0, 3)
def test_siamese_network_beats_pixels(tmp_path: Path, capsys) -> None:
    line = run("siamese", tmp_path, capsys, "--epochs", "18")
    told, by_pixels = (float(part.split(" %")[0].split()[-1]) for part in line.split(";"))
    assert told > by_pixels > 75
    assert {"curves.png", "plane.png"} <= {path.name for path in tmp_path.iterdir()}


def test_images_in_a_folder_are_learned(tmp_path: Path, capsys) -> None:
    pytest.importorskip("PIL")
    folder = tmp_path / "digits"
    options = ("--epochs", "1", "--workers", "0", "--folder", str(folder))
    line = run("images", tmp_path / "out", capsys, *options)
    assert float(line.split()[2]) > 60
    assert len(list(folder.glob("learn/*/*.png"))) == 1347
    assert len(list(folder.glob("held_out/*/*.png"))) == 450


def test_what_torch_taught_helps(tmp_path: Path, capsys) -> None:
    pytest.importorskip("safetensors")
    line = run("finetune", tmp_path, capsys, "--epochs", "20")
    tuned, scratch = float(line.split()[2]), float(line.split()[5])
    assert tuned > max(scratch, 90)


@pytest.mark.in_turn(1, 3)
def test_chars_learns_more_than_pairs_of_letters_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded("chars")
    text = module.load_text()[:60_000]
    alone = module.n_gram_bits(text[:54_000], text[54_000:], 1)
    pair = module.n_gram_bits(text[:54_000], text[54_000:], 2)
    assert pair < alone
    monkeypatch.setattr(sys.modules["chars_example"], "CONTEXT", 16)
    characters = "".join(sorted(set(text)))
    numbers = module.pg.asarray([characters.index(c) for c in text])
    module.pg.random.manual_seed(0)
    model = module.Writer(len(characters), module.pg.Device("cpu"))
    history = module.train(model, numbers[:54_000], numbers[54_000:], 200)
    assert history[-1][2] < pair < alone
    assert len(module.written(model, characters, "The ", 20)) == 24
    module.save_losses(history, pair, tmp_path / "losses.png")
    assert (tmp_path / "losses.png").read_bytes().startswith(PNG)
