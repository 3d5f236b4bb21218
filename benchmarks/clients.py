"""`redhanded serve` as a process of its own, and clients that ask it at once, each again and again."""

import http.client
import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from redhanded.errors import RunError
from redhanded.sets import write_png

_SERVE = "import sys; from redhanded.cli.main import main; sys.exit(main())"
_BOUNDARY = "an-image"
_WARM = 2.0  # seconds at the beginning that are not measured
_PATIENCE = 60.0  # seconds for an answer


class ServerLoad(NamedTuple):
    """What clients saw in some seconds."""

    latencies: list[float]  # seconds, of each answer
    errors: list[str]
    images: int  # that were answered
    seconds: float
    idle_mib: int  # resident memory before the first request; 0 where the system does not tell
    peak_mib: int


def load_server(
    bundle: Path, images: Sequence[NDArray[np.uint8]], clients: int, seconds: float, together: int = 1
) -> ServerLoad:
    """Ask a server blind from `clients` connections, with `together` of the images, (c, h, w), in each request.

    Raises RunError where the server does not start.
    """
    groups = [images[first : first + together] for first in range(0, len(images), together)]
    bodies = [(len(group), _form(group)) for group in groups]
    with _serving(bundle) as (process, port):
        idle = _memory(process.pid, "VmRSS")
        latencies: list[float] = []
        sizes: list[int] = []
        errors: list[str] = []
        began = time.perf_counter() + _WARM
        end = began + seconds

        def ask(first: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
            turn = first
            while (started := time.perf_counter()) < end:
                turn += 1
                size, body = bodies[turn % len(bodies)]
                error = _post(connection, body)
                if started >= began:
                    latencies.append(time.perf_counter() - started)
                    sizes.append(0 if error else size)
                    errors.extend([error] if error else [])
            connection.close()

        threads = [threading.Thread(target=ask, args=(first,)) for first in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        return ServerLoad(latencies, errors, sum(sizes), took, idle, _memory(process.pid, "VmHWM"))


def _form(images: Sequence[NDArray[np.uint8]]) -> bytes:
    """A multipart form with the images as PNG files."""
    start = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name="
    parts = [f'{start}"blind"\r\n\r\ntrue\r\n'.encode()]
    for image in images:
        file = io.BytesIO()
        write_png(image / np.float32(255), file)
        head = f'{start}"images"; filename="image.png"\r\nContent-Type: image/png\r\n\r\n'
        parts += [head.encode(), file.getvalue(), b"\r\n"]
    return b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])


def _post(connection: http.client.HTTPConnection, body: bytes) -> str:
    """Nothing, or why there was no verdict."""
    try:
        connection.request(
            "POST", "/api/attribute", body, {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        )
        answer = connection.getresponse()
        text = answer.read()
        return "" if answer.status == http.client.OK else f"{answer.status}: {text[:100]!r}"
    except OSError as error:
        connection.close()
        return str(error)


@contextmanager
def _serving(bundle: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    command = [sys.executable, "-u", "-c", _SERVE, "serve", "--bundle", str(bundle), "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:  # noqa: S603 (our own command)
        try:
            assert process.stdout  # noqa: S101 (asked for above)
            found = re.search(r":(\d+)/", process.stdout.readline())
            if not found:
                raise RunError("expected a server, found that it did not start; `redhanded serve` says why")
            yield process, int(found[1])
        finally:
            process.terminate()
            process.wait()


def _memory(process: int, field: str) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return int(re.findall(rf"{field}:\s+(\d+) kB", status)[0]) // 1024
