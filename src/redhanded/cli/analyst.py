"""The analyst's commands: `redhanded bundle`, `teach`, `attribute`, `watch`, `campaigns` and `serve`."""

import inspect
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from redhanded.errors import RedhandedError, printable
from redhanded.verdicts import EXPORTS, check_exports, export_found

if TYPE_CHECKING:
    from redhanded.verdicts import Examiner, FileExaminer, Judged, Verdict, Wait

BundleOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="What `redhanded bundle` wrote; the package's own unless given."),
]
BAD_INPUT = 2  # exit code where any input could not be used; 0 where all could


def bundle(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    out: Annotated[Path, typer.Option(help="A new folder for the bundle.")],
    blind: Annotated[
        bool, typer.Option("--blind", help="Pack only attributors that see the image alone, and ask no victim.")
    ] = False,
    without_victims: Annotated[
        bool, typer.Option("--without-victims", help="Leave the victims' weights out; they may be secret.")
    ] = False,
    victims: Annotated[
        str | None, typer.Option(metavar="A,B", help="Pack the weights of some victims; all unless given.")
    ] = None,
    without_examples: Annotated[
        bool, typer.Option("--without-examples", help="Pack no images; verdicts still name the nearest known ones.")
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Store attributors' weights and held-out answers in 16 bits.")
    ] = False,
    half_victims: Annotated[
        bool, typer.Option("--half-victims", help="Round victims to 16 bits too: boundaries move a little.")
    ] = False,
    held_out: Annotated[
        int | None, typer.Option(min=2, help="Held-out answers of each attributor at most; all unless given.")
    ] = None,
) -> None:
    """Pack a run's best attributors, calibration, victims and examples into what `attribute` loads."""
    from redhanded.bundle import PackOptions, pack_bundle

    options = PackOptions(
        blind=blind,
        without_victims=without_victims,
        victims=victims.split(",") if victims else (),
        without_examples=without_examples,
        half=half,
        half_victims=half_victims,
        held_out=held_out,
    )
    card = pack_bundle(run, out, options)
    parts = ", ".join(f"{part.attributor} ({part.knowledge}, {part.pixels})" for part in card.parts)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    Console(markup=False).print(f"bundle: {out}\nholds:  {parts}\nsize:   {size / 1e6:.2f} MB", soft_wrap=True)


def teach(
    name: Annotated[str, typer.Argument(help="What the family is to be called.")],
    images: Annotated[list[Path], typer.Argument(help="Images that are known to be of it, as attribute takes them.")],
    bundle: Annotated[
        Path, typer.Option(metavar="DIR", help="What `redhanded bundle` wrote, or the name of one of the package's.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the bundle that knows it.")],
    kind: Annotated[str, typer.Option(help="How the attack looks for its image, such as 'minimal norm'.")] = "other",
    norm: Annotated[str, typer.Option(help="Of its perturbations, where all have one: l0, l1, l2 or linf.")] = "none",
    victim: Annotated[str, typer.Option(help="Whose gradients it followed, where that is known.")] = "none",
) -> None:
    """Teach a bundle a family that it does not know from a few images of it; nothing is trained again."""
    from redhanded.bundle import bundle_named
    from redhanded.verdicts import Examiner, read_all

    examiner = Examiner.load(bundle_named(bundle))
    evidence = read_all(images, examiner)
    examiner = examiner.teach_evidence(name, evidence, out, kind=kind, norm=norm, victim=victim)
    learned = [
        f"{part.attributor} ({part.knowledge}, {part.pixels}): {examiner.bundle.card.taught[-1].images[part.folder]}"
        for part in examiner.bundle.card.parts
        if part.folder in examiner.bundle.card.taught[-1].images
    ]
    Console(markup=False).print(f"bundle: {out}\nimages: {', '.join(learned)}", soft_wrap=True)


def _with_exports(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, in place of its `**exports`, an option for each row of `EXPORTS`, such as `--stix FILE`."""
    signature = inspect.signature(command)
    *own, _ = signature.parameters.values()
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[Path | None, typer.Option(metavar="FILE", help=row.summary)],
        )
        for name, row in EXPORTS.items()
    ]
    command.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    command.__annotations__ |= {option.name: option.annotation for option in options}
    return command


def _examiner(bundle: Path | None) -> "FileExaminer":
    """The bundle that was named, or those that come with the package: each is said when it is first used."""
    from redhanded.bundle import SHIPPED
    from redhanded.verdicts import load_examiner

    def say(examiner: "Examiner") -> None:
        shape = " x ".join(map(str, examiner.shape))
        sys.stderr.write(f"bundle: {printable(examiner.bundle.label)}, for images of {shape}\n")

    return load_examiner(bundle or SHIPPED, say)


@_with_exports
def attribute(
    images: Annotated[list[Path], typer.Argument(help="Image files, .npy or .npz arrays, folders of them.")],
    bundle: BundleOption = None,
    clean: Annotated[Path | None, typer.Option(help="The original image: its difference is used.")] = None,
    together: Annotated[
        bool, typer.Option("--together", help="The images are one actor's: add their evidence.")
    ] = False,
    blind: Annotated[bool, typer.Option("--blind", help="Do not ask the bundle's victims.")] = False,
    prior: Annotated[list[str] | None, typer.Option(metavar="FAMILY=SHARE", help="Your own prior; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line for each image, everything.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One row for each image and dimension.")] = False,
    pictures: Annotated[Path | None, typer.Option(metavar="DIR", help="A picture of each image's evidence.")] = None,
    **exports: Path | None,
) -> None:
    """Name the attack behind each image: family, norm, victim and setting, how sure, and what cannot be told apart."""
    # Before PyTorch is imported: its threads would wait for their next work at full speed, which is most of the time
    # that one image takes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from redhanded.verdicts import PRINTERS, ExamineOptions, Failure, read_reference

    files = {name: path for name, path in exports.items() if path is not None}
    check_exports(files)
    examiner = _examiner(bundle)
    reference = None if clean is None else read_reference(clean, examiner)
    options = ExamineOptions(blind=blind, clean=reference, prior=parse_prior(prior or []), together=together)
    examiner.check_prior(options.prior)  # refused before anything is read
    show = PRINTERS["json" if as_json else "csv" if as_csv else "table"]()
    judged: list[Judged] = []
    answers: list[Verdict | Failure] = []
    for item in examiner.attribute_files(images, options):
        if isinstance(item, Failure):
            answers.append(item)
            sys.stderr.write(f"redhanded: {item.error}\n")
        else:
            show(item.verdict)
            answers.append(item.verdict)
            judged.append(item)
    if pictures is not None:
        from redhanded.verdicts import write_pictures  # with matplotlib, which only a picture waits for

        write_pictures(examiner, judged, pictures, reference)
    for name, path in files.items():
        export_found(name, answers, examiner.bundle_of([one.evidence for one in judged]), path)
    if len(judged) < len(answers):
        raise typer.Exit(BAD_INPUT)


def parse_prior(words: list[str]) -> dict[str, float]:
    """Read a prior such as `["fgsm=0.5"]`; raises DataError in one line."""
    from redhanded.data import bad_data  # with numpy, which `--help` does not wait for

    prior: dict[str, float] = {}
    for word in words:
        family, _, share = word.partition("=")
        try:
            if not family or family in prior:
                raise ValueError
            prior[family] = float(share)
        except ValueError:
            expected = "FAMILY=SHARE, such as fgsm=0.5, each family once"
            raise bad_data("--prior", expected, repr(word), "give shares from 0 to 1") from None
    return prior


def watch(
    folder: Annotated[Path, typer.Argument(help="Where images appear; folders in it too, hidden files not.")],
    out: Annotated[Path, typer.Option(help="The .jsonl file of verdicts; gone on with where it is there.")],
    bundle: BundleOption = None,
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks at the folder.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="End when the files that are there now are done.")] = False,
    blind: Annotated[bool, typer.Option("--blind", help="Do not ask the bundle's victims.")] = False,
) -> None:
    """Name the attack behind each image that appears in a folder, once each; Ctrl-C or SIGTERM ends it cleanly."""
    from redhanded.verdicts import watch_folder

    with _until_signalled() as wait:
        examiner = _examiner(bundle)
        for entry in watch_folder(examiner, folder, out, interval=interval, once=once, blind=blind, wait=wait):
            if entry.failure is not None:
                sys.stderr.write(f"redhanded: {entry.failure.error}\n")
            if entry.verdict is not None:
                typer.echo(f"{entry.verdict.name}: {entry.verdict.summary}")


def campaigns(
    verdicts: Annotated[Path, typer.Argument(help="What `redhanded watch` wrote.")],
    gap: Annotated[float, typer.Option(min=0, help="Hours without an image that end a campaign.")] = 24.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line for each campaign, everything.")] = False,
) -> None:
    """Group verdicts into campaigns: the same algorithm, setting and victim over time."""
    from redhanded.verdicts import campaign_table, read_campaigns

    groups = read_campaigns(verdicts, timedelta(hours=gap))
    if as_json:
        sys.stdout.writelines(campaign.model_dump_json() + "\n" for campaign in groups)
    else:
        Console(markup=False, highlight=False).print(campaign_table(groups))


def serve(
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="What `redhanded bundle` wrote; the package's first unless given."),
    ] = None,
    host: Annotated[str, typer.Option(help="Elsewhere than on loopback a token is asked for.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8417,
    reports: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of runs whose reports to show.")] = None,
    verdicts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `redhanded watch` writes: shown as campaigns.")
    ] = None,
) -> None:
    """Serve a page and an API that name the attack behind images."""
    try:
        from redhanded.server import serve_bundle
    except ModuleNotFoundError as error:
        remedy = "install it: pip install 'redhanded[serve]'"
        raise RedhandedError(f"expected the package {error.name}, found none; {remedy}") from None
    from redhanded.bundle import bundle_named, find_bundles

    folder = find_bundles()[0].folder if bundle is None else bundle_named(bundle)
    serve_bundle(folder, host, port, reports=reports, verdicts=verdicts, say=typer.echo)


@contextmanager
def _until_signalled() -> "Iterator[Wait]":
    """Yields how to wait for a number of seconds or the first signal to end; a second signal ends at once."""
    asked, ask = os.pipe()

    def note(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.write(ask, b"\0")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda seconds: bool(select.select([asked], [], [], seconds)[0])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(asked)
        os.close(ask)
