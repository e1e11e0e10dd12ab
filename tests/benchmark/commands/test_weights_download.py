"""`mibench weights download`, from a server on this machine that speaks what the Hub's library needs of the Hub."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty_server import Fault, FaultyServer

from mibench.adapters import registry
from mibench.benchmark import weights
from mibench.benchmark.choices import make
from mibench.benchmark.home import home

pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")

Command = Callable[..., Any]
COMMIT = "1a2b3c4d5e6f" + 28 * "0"
REPOSITORY = "PKUDigitalHealth/ECGFounder"
FILE = "1_lead_ECGFounder.pth"
DOWNLOAD = ("weights", "download", "ecgfounder", "--preset", "tiny")


class Hub:
    """Puts files into repositories of a server, as the Hub has them."""

    def __init__(self, server: FaultyServer) -> None:
        self.server = server

    def put(self, repository: str, file: str, content: bytes, license: str | None = "mit", *, lfs: bool = True) -> str:
        """The path under which the file is fetched."""
        about = {
            "id": repository,
            "sha": COMMIT,
            "tags": [],
            "siblings": [{"rfilename": "README.md"}, {"rfilename": file}],
            "cardData": {"license": license} if license else {},
        }
        self.server.answers[f"/api/models/{repository}/revision/main"] = (
            {"Content-Type": "application/json"},
            json.dumps(about).encode(),
        )
        digest = (hashlib.sha256 if lfs else hashlib.sha1)(content).hexdigest()
        path = f"/{repository}/resolve/{COMMIT}/{file}"
        self.server.answers[path] = ({"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}, content)
        return path


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The one-lead network as its authors publish it, at a tiny width."""
    file = tmp_path_factory.mktemp("weights") / FILE
    _, adapter = make("ecgfounder", "tiny")
    torch.manual_seed(0)
    adapter.load(None, torch.device("cpu"))
    torch.save({"state_dict": adapter.network().state_dict(), "epoch": 3}, file)  # type: ignore[union-attr]
    return file.read_bytes()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with FaultyServer(tmp_path / "nothing") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        yield Hub(server)


def test_published_weights_are_fetched_and_registered_with_where_they_come_from(
    mibench: Command, hub: Hub, content: bytes
) -> None:
    path = hub.put(REPOSITORY, FILE, content)
    hub.server.faults[path] = [Fault(cut=len(content) // 2), Fault(429, {"Retry-After": "0"})]
    answer = mibench(*DOWNLOAD)
    assert answer.code == 0, answer.err
    digest = hashlib.sha256(content).hexdigest()
    assert "licence: MIT, says its authors; mit, says the repository" in answer.err
    assert f"sha256 {digest}" in answer.out
    entry = weights.registered()["ecgfounder"]
    assert entry["sha256"] == digest
    assert entry["source"] == {
        "repository": REPOSITORY,
        "revision": COMMIT,
        "file": FILE,
        "sha256": digest,
        "license": "mit",
    }
    assert Path(entry["path"]).is_relative_to(home() / "weights" / "files")
    assert hub.server.times(path) == 3
    assert "ecgfounder" in mibench("weights").out
    again = mibench(*DOWNLOAD)
    assert again.code == 0, again.err
    assert hub.server.times(path) == 3, "what is there is read, not fetched"


def test_wrong_bytes_are_never_registered(mibench: Command, hub: Hub, content: bytes) -> None:
    path = hub.put(REPOSITORY, FILE, content)
    hub.server.faults[path] = [Fault(spoil=True), Fault(spoil=True)]
    answer = mibench(*DOWNLOAD)
    assert answer.code == 2
    assert "came twice with another SHA-256" in answer.err
    assert weights.registered() == {}


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_there(mibench: Command, hub: Hub, content: bytes, tmp_path: Path) -> None:
    path = hub.put(REPOSITORY, FILE, content)
    hub.server.faults[path] = [Fault(delay=0.1)]
    arguments = [*DOWNLOAD, "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "mibench.benchmark.cli", *arguments], stderr=subprocess.DEVNULL, env=os.environ
    )
    part = tmp_path / f"{FILE}.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 20_000):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    half = part.stat().st_size
    assert mibench(*arguments).code == 0
    ranges = [asked.headers.get("Range") for asked in hub.server.asked if (asked.method, asked.path) == ("GET", path)]
    assert ranges == [None, f"bytes={half}-"]
    assert (tmp_path / FILE).read_bytes() == content


@pytest.mark.parametrize("license", ["cc-by-nc-4.0", None, "other"])
def test_a_licence_that_forbids_something_is_shown_and_agreed_to_before_a_byte_is_fetched(
    mibench: Command, hub: Hub, content: bytes, license: str | None
) -> None:
    path = hub.put("lab/net", "net.pth", content, license)
    command = (*DOWNLOAD, "--repo", "lab/net", "--file", "net.pth")
    answer = mibench(*command)
    assert answer.code == 2
    assert f"licence: {license or 'none'}" in answer.err
    assert f"read it at {hub.server.url}/lab/net, then add --accept-license" in answer.err
    assert hub.server.times(path) == 0
    assert weights.registered() == {}
    agreed = mibench(*command, "--accept-license")
    assert agreed.code == 0, agreed.err
    assert weights.registered()["ecgfounder"]["source"]["license"] == (license or "")


@pytest.mark.slow
def test_a_file_that_holds_more_than_weights_is_rewritten_without_it(
    mibench: Command, hub: Hub, content: bytes, tmp_path: Path
) -> None:
    held = torch.load(io.BytesIO(content), weights_only=True)
    torch.save({**held, "config": Fraction(1, 3)}, tmp_path / "more.pth")
    more = (tmp_path / "more.pth").read_bytes()
    hub.put(REPOSITORY, FILE, more)
    answer = mibench(*DOWNLOAD)
    assert answer.code == 0, answer.err
    assert "holds more than weights: rewritten as" in answer.out
    assert "fractions.Fraction" in answer.out, "what was not run is named"
    entry = weights.registered()["ecgfounder"]
    assert entry["path"].endswith("1_lead_ECGFounder.safetensors")
    assert entry["source"]["sha256"] == hashlib.sha256(more).hexdigest()


def test_what_the_hub_refuses_is_said_in_a_sentence(mibench: Command, hub: Hub, content: bytes) -> None:
    path = hub.put(REPOSITORY, FILE, content)
    api = f"/api/models/{REPOSITORY}/revision/main"

    def refused(*arguments: object) -> str:
        answer = mibench(*DOWNLOAD, *arguments)
        assert answer.code == 2, answer.err
        assert "Traceback" not in answer.err
        return str(answer.err)

    assert "has no file 1_lead.pth; did you mean" in refused("--file", "1_lead.pth")
    hub.server.faults["/api/models/no/such/revision/main"] = [Fault(404, {"X-Error-Code": "RepoNotFound"})]
    assert "there is no repository no/such" in refused("--repo", "no/such")
    hub.server.faults[f"/api/models/{REPOSITORY}/revision/v9"] = [Fault(404, {"X-Error-Code": "RevisionNotFound"})]
    assert "has no revision v9: choose another with --revision" in refused("--revision", "v9")
    assert "is no repository: give OWNER/NAME" in refused("--repo", "a/b/c")
    hub.server.faults[api] = [Fault(401, {"X-Error-Code": "GatedRepo"})]
    assert "accept its conditions at" in refused()
    hub.server.faults[api] = [Fault(403)]
    assert "hf auth login" in refused()
    hub.server.faults[path] = [Fault(401)]
    assert "accept its conditions at" in refused(), "only the file is refused"
    hub.server.faults[api] = [Fault(429, {"Retry-After": "7200"})]
    assert "asks to wait 120 minutes" in refused()
    hub.server.faults[api] = [Fault(503, {"Retry-After": "0"}) for _ in range(3)]
    assert "answer 503, 3 times in a row" in refused()
    assert weights.registered() == {}


def test_without_a_network_the_way_by_hand_is_told(
    mibench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyServer(tmp_path) as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.url)
    answer = mibench(*DOWNLOAD)
    assert answer.code == 2
    assert "connection refused, 3 times in a row" in answer.err
    assert f"fetch 1_lead_ECGFounder.pth from {gone.url}/{REPOSITORY} elsewhere" in answer.err
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in mibench(*DOWNLOAD).err


def test_another_file_in_the_way_is_left_alone(mibench: Command, hub: Hub, content: bytes, tmp_path: Path) -> None:
    hub.put(REPOSITORY, FILE, content)
    (tmp_path / FILE).write_text("mine")
    answer = mibench(*DOWNLOAD, "--out", tmp_path)
    assert answer.code == 2
    assert "is another file: choose another folder with --out" in answer.err
    assert (tmp_path / FILE).read_text() == "mine"


def test_weights_that_are_elsewhere_are_told_with_their_licence(mibench: Command) -> None:
    for method, words in {
        "stmem-12lead": ("Google Drive", "CC BY-NC 4.0 (non-commercial)", "mibench weights add stmem-12lead FILE"),
        "ekgan": ("commit 9162d48", "none given"),
        "selfmis": ("mibench pretrain --method selfmis",),
        "prevalence": ("needs no weights",),
    }.items():
        answer = mibench("weights", "download", method)
        assert answer.code == 2
        assert all(word in answer.err for word in words), answer.err


def test_without_the_library_its_extra_is_named(mibench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    answer = mibench(*DOWNLOAD)
    assert answer.code == 2
    assert "pip install 'mibench[hub]'" in answer.err


def test_a_token_goes_to_the_hub_alone(
    mibench: Command, hub: Hub, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: "hf_secret")
    path = hub.put(REPOSITORY, FILE, content)
    (tmp_path / "cdn").mkdir()
    (tmp_path / "cdn" / "blob").write_bytes(content)
    with FaultyServer(tmp_path / "cdn") as cdn:
        hub.server.faults[path] = [Fault(302, {"Location": f"{cdn.url}/blob"})]
        answer = mibench(*DOWNLOAD)
        assert answer.code == 0, answer.err
        assert cdn.times("/blob") == 1
        assert not any("Authorization" in asked.headers for asked in cdn.asked)
    (told,) = {asked.headers.get("Authorization") for asked in hub.server.asked if asked.path == path}
    assert told == "Bearer hf_secret"
    assert "hf_secret" not in answer.out + answer.err


def test_cards_and_adapters_name_the_same_files() -> None:
    named = 0
    for card in registry.cards()[0].values():
        if not card.published:
            continue
        spec = registry.create(registry.resolve_options(card)).spec
        place = card.published.get("hub") or card.published["file"]
        assert place in spec.published_weights, card.name
        if card.name != "fairseq-signals":  # a checkpoint of whoever has one
            assert Path(card.published["file"]).name in spec.published_weights, card.name
        assert card.published.get("sha256", "") in spec.published_weights, card.name
        assert bool(card.published.get("hub")) != bool(card.published.get("by_hand")), card.name
        named += 1
    assert named == 9
