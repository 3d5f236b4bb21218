"""A submission: images, a clean reference, and what the analyst decided, from the body of a request."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated, NamedTuple

from fastapi import Request
from pydantic import Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from redhanded.core import Record
from redhanded.errors import DataError, first_problem, printable
from redhanded.server.limits import MOST_BODY
from redhanded.server.responses import RefusedError
from redhanded.verdicts import Evidence, Failure, digest_of, read_bytes

MOST_FILES = 64  # images and reference of one request
MOST_IMAGES = 256  # of one request: an array file holds several
MOST_FIELDS = 64
IMAGES, CLEAN, PRIOR = "images", "clean", "prior."  # names of form fields; a prior's has the family behind it
# A body that is one image: its content type and the name that it gets.
RAW = {
    "image/png": "image.png",
    "image/jpeg": "image.jpg",
    "image/bmp": "image.bmp",
    "image/webp": "image.webp",
    "image/tiff": "image.tiff",
    "application/x-npy": "image.npy",
}


class Wishes(Record):
    """The decisions of an analyst, as form fields or in the query."""

    blind: bool = False  # do not ask the candidate victims
    together: bool = False  # the images are one actor's
    # `prior.fgsm=0.5`; families that are not named share the rest
    prior: dict[str, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]] = Field(default_factory=dict)


class File(NamedTuple):
    """A file as it was received."""

    name: str
    data: bytes


class Submission(NamedTuple):
    """A request, read and not yet decoded."""

    images: Sequence[File]
    clean: File | None
    wishes: Wishes


async def read_submission(request: Request) -> Submission:
    """Read a multipart form of files and fields, or one raw image; raises RefusedError for anything else."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    fields = request.query_params.multi_items()
    if media_type in RAW:
        files = {IMAGES: [File(RAW[media_type], await request.body())]}
    elif media_type == "multipart/form-data":
        files, texts = await _read_form(request)
        fields = texts + fields
    else:
        found = printable(media_type)[:300] or "none"
        raise RefusedError(415, f"expected multipart/form-data or one of {', '.join(RAW)}, found content type {found}")
    clean = files.pop(CLEAN, [])
    images = files.pop(IMAGES, [])
    if files or len(clean) > 1 or not images:
        found = ", ".join([*files, f"{len(images)} {IMAGES}", f"{len(clean)} {CLEAN}"])
        raise RefusedError(422, f"expected files under the field {IMAGES} and at most one under {CLEAN}, found {found}")
    given = {name: value.strip() for name, value in fields if value.strip()}  # a field that was left empty says nothing
    prior = {name.removeprefix(PRIOR): value for name, value in given.items() if name.startswith(PRIOR)}
    plain = {name: value for name, value in given.items() if not name.startswith(PRIOR)}
    try:
        wishes = Wishes.model_validate({**plain, "prior": prior})
    except ValidationError as error:
        problem = first_problem(error)[:300]
        remedy = f"the fields are {IMAGES}, {CLEAN}, {', '.join(Wishes.model_fields)}.FAMILY"
        raise RefusedError(422, f"expected fields that can be used, found {problem}; {remedy}") from None
    return Submission(images, clean[0] if clean else None, wishes)


async def _read_form(request: Request) -> tuple[dict[str, list[File]], list[tuple[str, str]]]:
    # one file more than allowed, to tell too many from a form that is broken
    parser = MultiPartParser(request.headers, request.stream(), max_files=MOST_FILES + 1, max_fields=MOST_FIELDS)
    parser.spool_max_size = MOST_BODY + 1  # suspicious files are not written to disk
    fault = ""
    try:
        await parser.parse()
    except MultiPartException as error:
        fault = error.message
    uploads = [(name, value) for name, value in parser.items if isinstance(value, UploadFile)]
    if len(uploads) > MOST_FILES:
        raise RefusedError(413, f"expected at most {MOST_FILES} files in a request, found more; send them in parts")
    if fault:
        raise RefusedError(400, f"expected a well-formed multipart form, found: {printable(fault)[:300]}")
    files: dict[str, list[File]] = {}
    for name, upload in uploads:
        if upload.filename:  # a browser sends an empty one for a field that was left empty
            plain = PurePosixPath(printable(upload.filename.replace("\\", "/"))[:300])  # the last part, and short
            file = File(plain.stem[:100] + plain.suffix[:10] or "image", await upload.read())
            files.setdefault(printable(name)[:300], []).append(file)
    return files, [(name, value) for name, value in parser.items if isinstance(value, str)]


def read_images(files: Sequence[File], shape: Sequence[int]) -> list[tuple[int, int, Evidence | Failure]]:
    """Decode files for a bundle on images of `shape`: for each image its file, its place there, and what it is.

    A file that cannot be used is one Failure. Raises RefusedError for too many images.
    """
    images: list[tuple[int, int, Evidence | Failure]] = []
    for number, file in enumerate(files):
        try:
            read: Sequence[Evidence | Failure] = read_bytes(file.name, file.data, shape)
        except DataError as error:
            read = [Failure(name=file.name, error=str(error), sha256=digest_of(file.data))]
        images += [(number, place, one) for place, one in enumerate(read)]
        if len(images) > MOST_IMAGES:
            expected = f"expected at most {MOST_IMAGES} images in a request"
            raise RefusedError(413, f"{expected}, found more; send them in parts")
    return images


def read_clean(file: File | None, shape: Sequence[int]) -> Evidence | None:
    """Decode the clean reference; raises RefusedError where the file holds anything but one image."""
    if file is None:
        return None
    images = [image for _, _, image in read_images([file], shape)]
    if len(images) != 1 or not isinstance(images[0], Evidence):
        reason = next((one.error for one in images if isinstance(one, Failure)), f"{file.name}: {len(images)} images")
        raise RefusedError(422, f"expected one clean reference image, found: {reason}")
    return images[0]


def describe_body() -> dict[str, object]:
    """The request body in the words of OpenAPI."""
    file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": [IMAGES],
        "properties": {
            IMAGES: {"type": "array", "items": file, "maxItems": MOST_FILES, "description": "Suspicious images."},
            CLEAN: {**file, "description": "The original of all of them: its difference is used."},
            "blind": {"type": "boolean", "description": "Do not ask the bundle's victims."},
            "together": {"type": "boolean", "description": "The images are one actor's: add their evidence."},
            f"{PRIOR}FAMILY": {"type": "number", "minimum": 0, "maximum": 1, "description": "A family's prior share."},
        },
    }
    raw = {kind: {"schema": {**file, "description": "One image; the fields go into the query."}} for kind in RAW}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}, **raw}}
