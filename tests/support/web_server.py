"""`redhanded serve` as a process of its own, and images to send to it."""

import io
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import httpx
import numpy as np
from PIL import Image

from redhanded.bundle import load_bundle
from support.processes import PATIENCE


class Server:
    """A running server."""

    def __init__(self, process: "subprocess.Popen[str]", lines: "queue.Queue[str]", errors: list[str]) -> None:
        self.process, self._lines, self.errors = process, lines, errors
        self.port = int(re.findall(r":(\d+)/", self.line())[0])
        self.url = f"http://127.0.0.1:{self.port}"

    def line(self) -> str:
        """The next line that it prints."""
        line = self._lines.get(timeout=PATIENCE)
        assert line, f"the server ended: {''.join(self.errors)}"
        return line

    def memory(self, field: str) -> int:
        """Bytes, as Linux counts them: VmRSS now, VmHWM at most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"{field}:\s+(\d+) kB", status)[0]) * 1024

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


@contextmanager
def serving(bundle: Path, *options: str) -> Iterator[Server]:
    """A server on a free port of loopback, stopped at the end."""
    command = [Path(sys.executable).with_name("redhanded"), "serve", "--bundle", str(bundle), "--port", "0", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        assert process.stdout
        assert process.stderr
        lines: queue.Queue[str] = queue.Queue()
        errors: list[str] = []
        readers = [
            threading.Thread(target=errors.extend, args=(process.stderr,)),
            threading.Thread(target=_read_lines, args=(process.stdout, lines)),
        ]
        for reader in readers:
            reader.start()
        try:
            yield Server(process, lines, errors)
        finally:
            process.terminate()
            process.wait(PATIENCE)
            for reader in readers:
                reader.join()


def _read_lines(pipe: TextIO, lines: "queue.Queue[str]") -> None:
    """All lines, and an empty one for the end."""
    for line in pipe:
        lines.put(line)
    lines.put("")


def example_png(bundle: Path, place: int = 0) -> bytes:
    """One of the bundle's known examples as a PNG file."""
    pixels = load_bundle(bundle).examples[place].numpy()
    file = io.BytesIO()
    Image.fromarray(pixels[0]).save(file, "PNG")
    return file.getvalue()


def npz(images: np.ndarray) -> bytes:
    """An archive of images."""
    file = io.BytesIO()
    np.savez(file, images=images)
    return file.getvalue()


def send(server: Server, path: str, *files: tuple[str, bytes], **fields: str) -> httpx.Response:
    """POST files as images, with fields."""
    parts = [("images", (name, data)) for name, data in files]
    return httpx.post(server.url + path, files=parts, data=fields, timeout=PATIENCE)
