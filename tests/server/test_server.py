"""`redhanded serve` as a process: what it answers, whom it refuses, and that it lives through hostile requests."""

import asyncio
import http.client
import io
import json
import math
import re
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from PIL import Image

import redhanded
from redhanded.cli.main import main
from redhanded.server.limits import HEADERS, MOST_BODY
from redhanded.server.pages import PAGES
from redhanded.server.responses import Attribution, Refusal
from redhanded.server.run import PatientProtocol
from redhanded.server.submission import MOST_FILES, MOST_IMAGES, RAW
from redhanded.verdicts import EXPORTS, Entry, Evidence, ExamineOptions, Verdict, read_bytes
from support.pictures import read_panels
from support.processes import PATIENCE, wait_for
from support.report_run import make_run
from support.web_server import Server, example_png, npz, send, serving

GIGABYTE = 1 << 30
NUMBER = r"-?\d+\.\d+(?:e-?\d+)?"


@pytest.fixture(scope="module")
def examiner(bundle: Path) -> redhanded.Examiner:
    return redhanded.Examiner.load(bundle)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run that has a report, and one that leads elsewhere."""
    folder = tmp_path_factory.mktemp("runs")
    run = make_run(folder / "a run")
    (run / "report").mkdir(exist_ok=True)
    (run / "report" / "report.html").write_text("<h1>A report</h1><script>alert(1)</script>")
    (run / "report" / "weights.safetensors").write_text("secret")
    (run / "report" / "out.html").symlink_to(run / "run.json")
    (folder / "linked").symlink_to(run)
    return folder


@pytest.fixture(scope="module")
def verdicts(examiner: redhanded.Examiner, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a monitor wrote: every example of the bundle."""
    path = tmp_path_factory.mktemp("monitor") / "verdicts.jsonl"
    time = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    made = examiner.attribute(examiner.bundle.examples)
    named = [one.model_copy(update={"name": f"<b>{place}.png"}) for place, one in enumerate(made)]
    lines = [Entry(time=time, path=one.name, sha256="0" * 64, verdict=one).model_dump_json() for one in named]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def server(bundle: Path, runs: Path, verdicts: Path) -> Iterator[Server]:
    with serving(bundle, "--reports", str(runs), "--verdicts", str(verdicts)) as running:
        yield running
        assert "Traceback" not in "".join(running.errors)


@pytest.fixture(scope="module")
def png(bundle: Path) -> bytes:
    return example_png(bundle)


def judged(
    examiner: redhanded.Examiner, name: str, data: bytes, options: ExamineOptions | None = None
) -> list[Verdict]:
    return examiner.judge(read_bytes(name, data, examiner.shape), options)


def same(one: Verdict, other: Verdict) -> bool:
    """Equal but for the last digits of numbers, which depend on how many images were judged at once."""
    texts = [each.model_dump_json() for each in (one, other)]
    first, second = ([float(number) for number in re.findall(NUMBER, text)] for text in texts)
    words = {re.sub(NUMBER, "", text) for text in texts}
    return len(words) == 1 and first == pytest.approx(second, rel=1e-3, abs=1e-5)


# What is answered


def test_the_answer_is_that_of_the_python_call(server: Server, examiner: redhanded.Examiner, png: bytes) -> None:
    answer = Attribution.model_validate_json(send(server, "/api/attribute", ("a.png", png)).raise_for_status().text)
    assert answer.bundle == examiner.bundle.digest
    assert same(answer.verdicts[0], judged(examiner, "a.png", png)[0])
    assert answer.failures == []


def test_the_same_bytes_give_the_same_answer(server: Server, png: bytes) -> None:
    first, second = (send(server, "/api/attribute", ("a.png", png)).text for _ in range(2))
    assert first == second


def test_a_bad_image_does_not_take_the_others_with_it(server: Server, png: bytes) -> None:
    sent = [("good.png", png), ("bad.png", b"no image"), ("other.png", png)]
    answer = Attribution.model_validate_json(send(server, "/api/attribute", *sent).raise_for_status().text)
    assert [one.name for one in answer.verdicts] == ["good.png", "other.png"]
    assert [one.name for one in answer.failures] == ["bad.png"]
    assert "\n" not in answer.failures[0].error


def test_where_no_image_can_be_used_all_say_why(server: Server) -> None:
    answer = send(server, "/api/attribute", ("bad.png", b"no image"), ("worse.npy", b""))
    refusal = Refusal.model_validate_json(answer.text)
    assert answer.status_code == 422
    assert [one.name for one in refusal.failures] == ["bad.png", "worse.npy"]
    assert refusal.error == refusal.failures[0].error


def test_a_raw_body_is_an_image(server: Server, examiner: redhanded.Examiner, png: bytes) -> None:
    kind = {"Content-Type": "image/png"}
    answer = httpx.post(f"{server.url}/api/attribute?blind=1", content=png, headers=kind, timeout=PATIENCE)
    (verdict,) = Attribution.model_validate_json(answer.raise_for_status().text).verdicts
    assert same(verdict, judged(examiner, RAW["image/png"], png, ExamineOptions(blind=True))[0])


def wishes(examiner: redhanded.Examiner, clean: Evidence) -> dict[str, tuple[dict[str, str], ExamineOptions]]:
    family = examiner.families[0]
    return {
        "blind": ({"blind": "true"}, ExamineOptions(blind=True)),
        "prior": ({f"prior.{family}": "0.9"}, ExamineOptions(prior={family: 0.9})),
        "together": ({"together": "true"}, ExamineOptions(together=True)),
    }


@pytest.mark.parametrize("wish", ["blind", "prior", "together"])
def test_a_wish_is_granted(server: Server, examiner: redhanded.Examiner, png: bytes, wish: str) -> None:
    (evidence,) = read_bytes("a.png", png, examiner.shape)
    fields, options = wishes(examiner, evidence)[wish]
    both = [("a.png", png), ("b.png", png)]
    answer = send(server, "/api/attribute", *both, **fields).raise_for_status()
    found = Attribution.model_validate_json(answer.text).verdicts
    expected = examiner.judge([read_bytes(name, data, examiner.shape)[0] for name, data in both], options)
    plain = examiner.judge([read_bytes(name, data, examiner.shape)[0] for name, data in both])
    assert len(found) == len(expected)
    assert all(map(same, found, expected))
    assert not same(found[0], plain[0])


def test_the_clean_reference_is_used(server: Server, examiner: redhanded.Examiner, png: bytes, bundle: Path) -> None:
    reference = example_png(bundle, 5)
    files = [("images", ("a.png", png)), ("clean", ("clean.png", reference))]
    answer = httpx.post(f"{server.url}/api/attribute", files=files, timeout=PATIENCE).raise_for_status()
    (verdict,) = Attribution.model_validate_json(answer.text).verdicts
    (clean,) = read_bytes("clean.png", reference, examiner.shape)
    assert verdict.knowledge == "oracle"
    assert same(verdict, judged(examiner, "a.png", png, ExamineOptions(clean=clean))[0])


@pytest.mark.parametrize("name", ["json", *EXPORTS])
def test_an_export_is_a_file(server: Server, examiner: redhanded.Examiner, png: bytes, name: str) -> None:
    answer = send(server, f"/api/export/{name}", ("a.png", png)).raise_for_status()
    suffix, media = (
        (EXPORTS[name].suffix, EXPORTS[name].media_type) if name in EXPORTS else (".json", "application/json")
    )
    assert answer.headers["content-disposition"] == f'attachment; filename="verdicts{suffix}"'
    assert answer.headers["content-type"].startswith(media)
    (evidence,) = read_bytes("a.png", png, examiner.shape)
    assert evidence.sha256 in answer.text
    if "json" in answer.headers["content-type"]:
        assert json.loads(answer.text)


def test_a_picture_is_that_of_the_image_that_is_asked_for(server: Server, png: bytes, bundle: Path) -> None:
    other = example_png(bundle, 20)
    for place, data in enumerate((png, other)):
        answer = send(server, f"/api/picture/{place}", ("a.png", png), ("b.png", other)).raise_for_status()
        assert answer.headers["content-type"] == "image/png"
        with Image.open(io.BytesIO(data)) as image:
            expected = np.asarray(image) / 255
        assert read_panels(answer.content)[0] == pytest.approx(expected, abs=2 / 255)
    assert send(server, "/api/picture/2", ("a.png", png), ("b.png", png)).status_code == 422
    assert send(server, "/api/picture/0", ("a.png", b"no image")).status_code == 422


def test_the_card_is_the_bundles(server: Server, examiner: redhanded.Examiner) -> None:
    answer = httpx.get(f"{server.url}/api/bundle")
    assert type(examiner.bundle.card).model_validate_json(answer.text) == examiner.bundle.card
    assert answer.headers["etag"] == f'"{examiner.bundle.digest}"'


def test_campaigns_are_those_of_the_monitor(server: Server, verdicts: Path) -> None:
    """All verdicts are of one moment: those with the same names are one campaign, but for controls and unknowns."""
    grouped: dict[tuple[str, ...], list[Any]] = {}
    for line in verdicts.read_text().splitlines():
        verdict = json.loads(line)["verdict"]
        likeliest = {name: finding["ranked"][0]["name"] for name, finding in verdict["findings"].items()}
        if not verdict["unknown"] and likeliest["adversarial"] != "control":
            key = tuple(likeliest.get(name, "") for name in ("family", "norm", "setting", "victim"))
            grouped.setdefault(key, []).append(verdict)
    assert len(grouped) > 1
    found = httpx.get(f"{server.url}/api/campaigns").json()["campaigns"]
    page = httpx.get(f"{server.url}/campaigns").text
    assert "<b>" not in page  # names are text
    assert [(one["family"], one["norm"], one["setting"], one["victim"]) for one in found] == list(grouped)
    for campaign, members in zip(found, grouped.values(), strict=True):
        assert campaign["names"] == [verdict["name"] for verdict in members]
        assert campaign["count"] == len(members)
        assert campaign["first"] == campaign["last"] == "2030-01-02T03:04:05Z"
        likelihoods = [
            {one["name"]: one["probability"] for one in verdict["findings"]["family"]["ranked"]} for verdict in members
        ]
        products = {name: math.prod(one[name] for one in likelihoods) for name in likelihoods[0]}
        combined = {one["name"]: one["probability"] for one in campaign["combined"]["family"]}
        total = sum(products.values())
        assert combined == pytest.approx({name: value / total for name, value in products.items()}, abs=1e-9)
        assert campaign["setting"] in page


# Pages


@pytest.mark.parametrize("path", [*PAGES, "/api/bundle", "/openapi.json", "/static/style.css", "/nothing"])
def test_every_answer_has_the_headers(server: Server, path: str) -> None:
    answer = httpx.get(server.url + path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", [*PAGES, "/theme.css", "/static/style.css", "/static/page.js", "/static/icon.svg"])
def test_a_page_has_nothing_inline_and_nothing_from_elsewhere(server: Server, path: str) -> None:
    text = httpx.get(server.url + path).raise_for_status().text
    text = text.replace(server.url, "").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?://|style=|<style|\son\w+=|<script>|javascript:", text)


def test_the_form_answers_without_script(server: Server, png: bytes) -> None:
    answer = send(server, "/", ("<i>a.png", png), ("bad.png", b"no image"))
    assert answer.status_code == 200
    assert "1 verdict, 1 not usable" in answer.text
    assert "<i>a" not in answer.text
    assert "&lt;i&gt;a.png" in answer.text
    wrong = send(server, "/", ("a.png", png), **{"prior.nobody": "0.5"})
    assert wrong.status_code == 422
    assert "nobody" in re.findall(r'<p class="error">(.*?)</p>', wrong.text)[0]


def test_the_page_names_nothing_that_is_unknown(server: Server, examiner: redhanded.Examiner, png: bytes) -> None:
    grey = io.BytesIO()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(grey, "PNG")
    cards = [
        re.findall(r"<article.*?</article>", send(server, "/", ("a.png", data)).text, re.DOTALL)[0]
        for data in (png, grey.getvalue())
    ]
    verdicts = [judged(examiner, "a.png", data)[0] for data in (png, grey.getvalue())]
    assert [bool(verdict.unknown) for verdict in verdicts] == [False, True]
    for card, verdict in zip(cards, verdicts, strict=True):
        assert ("resembles most" in card) is bool(verdict.unknown)
        assert ('class="words"' in card) is not bool(verdict.unknown)
        likely = re.search(r"almost (certain|no chance)|likely\b|even chance", card)
        assert bool(likely) is not bool(verdict.unknown)
        assert ("Setting, as numbers" in card) is bool(verdict.numbers)


def test_the_documentation_names_every_path_of_the_api(server: Server) -> None:
    api = httpx.get(f"{server.url}/openapi.json").json()
    page = httpx.get(f"{server.url}/docs").text
    assert "/api/attribute" in api["paths"]
    assert all(f"<code>{path}</code>" in page for path in api["paths"])


def test_a_report_is_shown_and_can_run_nothing(server: Server, runs: Path) -> None:
    assert "/reports/a%20run/report.html" in httpx.get(f"{server.url}/reports").text
    assert "linked" not in httpx.get(f"{server.url}/reports").text
    answer = httpx.get(f"{server.url}/reports/a%20run/report.html")
    assert "A report" in answer.text
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "script" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "a%20run/../run.json",
        "a%20run/%2e%2e/run.json",
        "a%20run/..%2frun.json",
        "a%20run/weights.safetensors",
        "a%20run/out.html",
        "a%20run/report.html%00.html",
        "linked/report.html",
        "..%2f..%2f..%2f..%2fetc/passwd.html",
        "//etc/passwd",
        "a%20run/",
        "nobody/report.html",
    ],
)
def test_nothing_but_reports_is_served(server: Server, path: str) -> None:
    answer = raw(server, f"GET /reports/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert status_of(answer) in (404, 422)


# Who may ask


CROSS_SITE = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Origin": "http://localhost:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
def test_other_sites_cannot_ask_in_a_users_name(server: Server, png: bytes, headers: dict[str, str]) -> None:
    for path in ("/", "/api/attribute"):
        answer = httpx.post(server.url + path, files={"images": png}, headers=headers)
        assert answer.status_code == 403


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Origin": "own"}], ids=str)
def test_our_own_page_can(server: Server, png: bytes, headers: dict[str, str]) -> None:
    own = {name: server.url if value == "own" else value for name, value in headers.items()}
    assert httpx.post(f"{server.url}/", files={"images": png}, headers=own, timeout=PATIENCE).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "169.254.1.1", "", "[", "localhost@evil"])
def test_a_name_that_was_made_to_lead_here_is_not_served(server: Server, host: str) -> None:
    assert httpx.get(f"{server.url}/api/bundle", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:80", "LOCALHOST:8000"])
def test_the_names_of_this_machine_are(server: Server, host: str) -> None:
    assert httpx.get(f"{server.url}/api/bundle", headers={"Host": host}).status_code == 200


@pytest.mark.slow
def test_elsewhere_than_on_loopback_a_token_is_asked_for(bundle: Path, png: bytes) -> None:
    with serving(bundle, "--host", "0.0.0.0") as server:  # noqa: S104 (that is what is tested)
        token = server.line().split()[1]
        bundle_url = f"{server.url}/api/bundle"
        refused = httpx.get(bundle_url)
        assert refused.status_code == 401
        assert "Basic" in refused.headers["www-authenticate"]
        assert httpx.get(bundle_url, headers={"Authorization": f"Bearer {token}x"}).status_code == 401
        assert httpx.get(bundle_url, headers={"Authorization": "Basic \xff=".encode("latin-1")}).status_code == 401
        assert httpx.get(bundle_url, headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert httpx.get(bundle_url, headers={"Host": "a.example", "Authorization": f"Bearer {token}"}).is_success
        assert httpx.get(f"{server.url}/", auth=("anyone", token)).status_code == 200
        assert httpx.post(f"{server.url}/api/attribute", files={"images": png}).status_code == 401
        assert httpx.get(f"{server.url}/healthz").status_code == 200
    assert token not in "".join(server.errors)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "127.0.0.1"])
def test_an_address_that_cannot_be_had_is_told_in_one_line(
    bundle: Path, host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = ["redhanded", "serve", "--bundle", str(bundle), "--host", host, "--port", port]
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit) as stopped:
            main()
    assert stopped.value.code == 2
    assert re.fullmatch(
        rf"redhanded: expected to listen on {re.escape(host)}, port \d+, found: [^\n]+\n", capsys.readouterr().err
    )


# Hostile requests


def raw(server: Server, data: bytes) -> bytes:
    """What the server answers to bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        return received(connection)


def received(connection: socket.socket) -> bytes:
    answer = bytearray()
    try:
        while part := connection.recv(1 << 16):
            answer += part
    except ConnectionResetError:
        pass
    return bytes(answer)


def status_of(answer: bytes) -> int:
    return int(answer.split()[1]) if answer else 0


CLOSE = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def post(headers: str, body: bytes = b"", path: str = "/api/attribute") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    return head.encode() + body


def form(*parts: bytes, boundary: bytes = b"x") -> bytes:
    """A multipart request of parts that are given with their own headers."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"
    return post(f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}\r\n", body)


def field_part(name: str, value: bytes) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value


def file_part(data: bytes, name: str = "images", filename: str = "a.png") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'.encode() + data


def chunked(size: int) -> bytes:
    chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    return post("Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n", chunk * (size >> 16) + b"0\r\n\r\n")


class Hostile(NamedTuple):
    """A request; status: what it is answered with, 0: closed without an answer."""

    request: Callable[[], bytes]
    status: int


PNG = "Content-Type: image/png\r\n"
FORM = "Content-Type: multipart/form-data"
HOSTILE = {
    "100 MB that are declared": Hostile(lambda: post(f"{PNG}Content-Length: 100000000\r\n", bytes(100_000_000)), 413),
    "100 MB that are promised": Hostile(
        lambda: post(f"{PNG}Content-Length: 100000000\r\nExpect: 100-continue\r\n"), 413
    ),
    "100 MB in chunks": Hostile(lambda: chunked(100_000_000), 413),
    "a length of 10^30": Hostile(lambda: post(f"{PNG}Content-Length: {10**30}\r\n"), 400),
    "a length that is none": Hostile(lambda: post(f"{PNG}Content-Length: many\r\n"), 400),
    "a negative length": Hostile(lambda: post(f"{PNG}Content-Length: -1\r\n"), 400),
    "two lengths": Hostile(lambda: post(f"{PNG}Content-Length: 1\r\nContent-Length: 2\r\n", b"ab"), 400),
    "length and chunks": Hostile(
        lambda: post(f"{PNG}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 422
    ),
    "a chunk that lies": Hostile(lambda: post(f"{PNG}Transfer-Encoding: chunked\r\n", b"zz\r\n\r\n"), 400),
    "no body": Hostile(lambda: post(f"{PNG}Content-Length: 0\r\n"), 422),
    "no content type": Hostile(lambda: post("Content-Length: 3\r\n", b"abc"), 415),
    "another content type": Hostile(
        lambda: post("Content-Type: application/json\r\nContent-Length: 2\r\n", b"{}"), 415
    ),
    "a form in the URL's manner": Hostile(
        lambda: post("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n", b"a=b"), 415
    ),
    "a form without a boundary": Hostile(lambda: post(f"{FORM}\r\nContent-Length: 3\r\n", b"abc"), 400),
    "an endless boundary": Hostile(
        lambda: post(f"{FORM}; boundary={'x' * 10000}\r\nContent-Length: 3\r\n", b"abc"), 400
    ),
    "a form that is none": Hostile(lambda: post(f"{FORM}; boundary=x\r\nContent-Length: 3\r\n", b"abc"), 400),
    "a form that is cut off": Hostile(lambda: post(f"{FORM}; boundary=x\r\nContent-Length: 5\r\n", b"--x\r\n"), 422),
    "a part without a name": Hostile(lambda: form(b"Content-Type: image/png\r\n\r\nabc"), 400),
    "a part with an endless header": Hostile(lambda: form(b"X: " + b"y" * 1_000_000 + b"\r\n\r\nabc"), 400),
    "too many files": Hostile(lambda: form(*[file_part(b"")] * (MOST_FILES + 1)), 413),
    "far too many files": Hostile(lambda: form(*[file_part(b"")] * 100_000), 413),
    "far too many fields": Hostile(lambda: form(*[field_part("a", b"")] * 100_000), 400),
    "a field of 10 MB": Hostile(lambda: form(field_part("a", bytes(10_000_000))), 400),
    "a boundary that never comes": Hostile(lambda: form(file_part(b"\r\n--" * (MOST_BODY // 5))), 422),
    "files under another name": Hostile(lambda: form(file_part(b"", name="image")), 422),
    "images as text": Hostile(lambda: form(field_part("images", b"abc")), 422),
    "a field that nobody knows": Hostile(lambda: form(file_part(b""), field_part("a", b"b")), 422),
    "a prior that is no number": Hostile(lambda: form(file_part(b""), field_part("prior.fgsm", b"nan")), 422),
    "a name with a path": Hostile(lambda: form(file_part(b"", filename="../../../etc/passwd\x00\n.png")), 422),
    "too many images": Hostile(
        lambda: form(file_part(npz(np.zeros((MOST_IMAGES + 1, 1, 16, 16), np.uint8)), filename="a.npz")), 413
    ),
    "a bomb of zeros": Hostile(lambda: form(file_part(deflated(1 << 28), filename="a.npz")), 422),
    "an array that claims to be huge": Hostile(lambda: form(file_part(claiming((1 << 40, 1)), filename="a.npy")), 422),
    "a huge header": Hostile(lambda: post(f"X: {'y' * 1_000_000}\r\n"), 400),
    "a thousand headers": Hostile(lambda: post("".join(f"X{n}: {'y' * 100}\r\n" for n in range(1000))), 415),
    "a huge path": Hostile(lambda: post("", path="/" + "a" * 1_000_000), 400),
    "not HTTP": Hostile(lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01" + bytes(1000), 400),
    "HTTP/2": Hostile(lambda: b"PRI * HTTP/2.0\r\nConnection: close\r\n\r\nSM\r\n\r\n", 421),
    "another method": Hostile(lambda: b"DELETE /api/bundle" + CLOSE, 405),
    "a proxy's method": Hostile(lambda: b"CONNECT evil:443" + CLOSE, 404),
    "no host": Hostile(lambda: b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    "a path of bytes": Hostile(lambda: b"GET /\xff\xfe" + CLOSE, 400),
    "an upgrade": Hostile(
        lambda: (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\n\r\n"
        ),
        200,
    ),
}


def deflated(size: int) -> bytes:
    """An archive of an array of zeros, of so many bytes unpacked."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w", force_zip64=True) as member,
    ):
        np.lib.format.write_array_header_1_0(
            member, {"descr": "|u1", "fortran_order": False, "shape": (size >> 8, 1, 16, 16)}
        )
        for _ in range(size >> 24):
            member.write(bytes(1 << 24))
    return file.getvalue()


def claiming(shape: tuple[int, ...]) -> bytes:
    """The head of an array file, with nothing behind it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused_in_one_line(server: Server, png: bytes, name: str) -> None:
    idle = server.memory("VmRSS")
    answer = raw(server, HOSTILE[name].request())
    assert status_of(answer) == HOSTILE[name].status, answer[:500]
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"application/json" in head:
        refusal = Refusal.model_validate_json(body)
        assert refusal.error.isprintable()
        assert len(refusal.error) < 1000
    assert server.memory("VmRSS") - idle < GIGABYTE
    assert send(server, "/api/attribute", ("a.png", png)).status_code == 200


@pytest.mark.slow
def test_what_does_not_come_is_given_up(server: Server) -> None:
    """A body that is slow, three heads, a second head on a connection; all are waited for at the same time."""
    with ExitStack() as connections:

        def sent(data: bytes) -> socket.socket:
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
            connection.sendall(data)
            return connection

        slow, stop = sent(post(f"{PNG}Content-Length: 1000000\r\n", bytes(10))), threading.Event()
        threading.Thread(target=trickle, args=(slow, stop), daemon=True).start()
        heads = [sent(start) for start in (b"", b"POST /api/attr", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")]
        again = sent(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += again.recv(1 << 16)
        again.sendall(b"GET /healthz HT")
        assert status_of(received(slow)) == 408
        stop.set()
        assert [received(connection) for connection in [*heads, again]] == [b""] * 4
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def trickle(connection: socket.socket, stop: threading.Event) -> None:
    """A byte now and then, which is not enough."""
    while not stop.wait(0.2):
        try:
            connection.sendall(b"x")
        except OSError:
            return


def test_a_server_whose_state_is_elsewhere_is_as_patient_as_before() -> None:
    protocol = PatientProtocol.__new__(PatientProtocol)  # as it would be if uvicorn renamed its field
    assert not hasattr(protocol, "conn")
    protocol._watch()
    assert protocol._deadline is None


def test_who_sends_all_before_reading_learns_why_it_was_too_much(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("POST", "/api/attribute", bytes(100_000_000), {"Content-Type": "image/png"})
    assert connection.getresponse().status == 413
    connection.close()


def test_who_hangs_up_disturbs_nobody(server: Server, png: bytes) -> None:
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            connection.sendall(post(f"{PNG}Content-Length: {len(png)}\r\n", png))
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            connection.sendall(post(f"{PNG}Content-Length: {len(png)}\r\n", png[:-1]))
    assert send(server, "/api/attribute", ("a.png", png)).status_code == 200


@pytest.mark.slow
def test_a_thousand_at_once_are_answered_or_told_to_come_again(server: Server, png: bytes) -> None:
    idle = server.memory("VmRSS")
    request = post(f"{PNG}Content-Length: {len(png)}\r\n", png, "/api/attribute?blind=1")

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer

    async def ask_all() -> list[bytes]:
        return await asyncio.wait_for(asyncio.gather(*(ask() for _ in range(1000))), PATIENCE)

    answers = asyncio.run(ask_all())
    assert {status_of(answer) for answer in answers} <= {200, 503}
    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in answers if status_of(answer) == 200]
    verdicts = [Attribution.model_validate_json(body).verdicts[0] for body in bodies]
    assert verdicts
    assert all(same(one, verdicts[0]) for one in verdicts)
    assert all(b"retry-after: 1" in answer for answer in answers if status_of(answer) == 503)
    assert server.memory("VmHWM") - idle < GIGABYTE
    assert send(server, "/api/attribute", ("a.png", png)).status_code == 200


@pytest.mark.slow
def test_a_stop_finishes_what_was_accepted(bundle: Path, png: bytes) -> None:
    many = npz(np.repeat(np.array(Image.open(io.BytesIO(png)))[None, None], 40, 0))
    with serving(bundle) as server, ThreadPoolExecutor(20) as clients:
        asked = [clients.submit(send, server, "/api/attribute", ("a.npz", many), blind="1") for _ in range(20)]
        wait_for(lambda: waiting(server) >= 400 or any(one.done() for one in asked))
        left = waiting(server)
        server.stop()
        answers = [one.result() for one in asked]
        assert left > 0  # there was something to finish
        assert [answer.status_code for answer in answers] == [200] * 20
        assert all(len(answer.json()["verdicts"]) == 40 for answer in answers)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")
    assert "Traceback" not in "".join(server.errors)


def waiting(server: Server) -> int:
    """Images accepted and not yet judged."""
    return int(httpx.get(f"{server.url}/healthz", timeout=PATIENCE).json()["waiting"])
