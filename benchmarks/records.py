"""What a benchmark leaves behind: the only source of its tables."""

from statistics import median

from pydantic import Field

from redhanded.core import Record

SERVER_SHARE = 0.8  # of the Python call's throughput with as many images in each call, that a server is to sustain
SERVER_GROWTH = 1024  # MiB over the idle process that it may need


class Machine(Record):
    """What was measured on."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    torch: str
    libraries: dict[str, str]  # peer -> version
    missing: dict[str, str]  # peer that is not installed -> the command that installs it


class BenchVictim(Record):
    """A victim as it is attacked."""

    name: str
    architecture: str
    width: float
    accuracy: float
    parameters: int
    weights_digest: str
    flops: int  # floating-point operations of one image's forward pass


class Setup(Record):
    """Under what conditions; two benchmarks of one setup may be compared."""

    command: str
    version: str
    commit: str
    started: str  # ISO 8601, UTC
    machine: Machine
    source: str
    source_digest: str
    victims: list[BenchVictim]
    images: int  # of each victim
    batch_size: int
    threads: int


class Distances(Record):
    """Sizes of perturbations."""

    median_l2: float
    mean_l2: float
    median_linf: float
    mean_linf: float


class Outcome(Record):
    """What an engine's images are worth, over all sets of a scenario."""

    images: int
    success: int  # changed, and the victim is wrong
    margin_success: int  # and wrong by more than the attack's confidence
    distances: Distances | None  # over `success`; None where there is none


class Comparison(Record):
    """Ours and a peer's, image by image."""

    both: int  # images that succeeded with the margin in both
    ours: Distances | None  # over `both`
    theirs: Distances | None
    norm_ratio: float | None  # median size over `both` in the attack's own norm, ours / theirs; the worst norm's
    agree: float  # share of all images that differ by at most 1e-5 in every pixel
    as_good: bool  # the rule of `outcomes.as_good`


class Spread(Record):
    """A value of several rounds."""

    median: float
    low: float
    high: float
    rounds: int


class Engine(Record):
    """One engine in one scenario."""

    name: str
    seconds: list[float]  # one a round
    outcome: Outcome
    forwards: int  # images that passed the network forwards in one round
    backwards: int
    gflops: float  # of the network alone, a second of the median round
    share_of_peak: float
    slow: bool = False  # too slow for more than one round

    @property
    def images_per_second(self) -> float:
        """Adversarial images a second in the median round."""
        return self.outcome.images / median(self.seconds)


class Pair(Record):
    """A peer against ours."""

    peer: str
    ratios: list[float]  # seconds of the peer / seconds of ours, round by round
    comparison: Comparison
    prepared: list[float]  # the same with the peer on our prepared copy; of the fastest peer alone

    @property
    def ratio(self) -> Spread:
        """How many times as fast ours is."""
        return spread(self.ratios)

    @property
    def algorithm_ratio(self) -> Spread | None:
        """The same with the gain of preparing the model taken out."""
        return spread(self.prepared) if self.prepared else None


class Row(Record):
    """A scenario on a victim."""

    victim: str
    scenario: str
    title: str
    ours: list[str]  # the specifications in full
    theirs: list[str]
    target: float
    engines: list[Engine]  # ours first
    pairs: list[Pair]
    refused: dict[str, str]  # peer -> why it did not take part

    def met(self, pair: Pair) -> bool:
        """Whether ours is as good as the peer's and as many times as fast as demanded."""
        return pair.comparison.as_good and pair.ratio.median >= self.target


class AttackBench(Record):
    """The record of `python -m benchmarks attacks`."""

    setup: Setup
    rounds: int
    patience: float  # a peer that takes more than this times ours in its first round runs that one alone
    peak_gflops: float  # of this machine's convolutions with as many threads
    rows: list[Row]
    finished: bool


class StudySet(Record):
    """One set of a study, by ours and by the best peer."""

    victim: str
    family: str
    norm: str
    attack: str  # our specification in full
    label: str
    peer: str | None  # None where no peer runs the family in this norm
    ours: Outcome
    theirs: Outcome | None
    comparison: Comparison | None


class Candidate(Record):
    """How a peer did in the choice of the best one."""

    name: str
    seconds: float
    success: float  # share, with the margin


class StudyFamily(Record):
    """All sets of a family and norm on one victim."""

    victim: str
    family: str
    norm: str
    busy_ours: float  # seconds that one process was busy with them; several work at once
    peer: str | None
    seconds_theirs: float | None
    candidates: list[Candidate]
    refused: dict[str, str]


class StudyBench(Record):
    """The record of `python -m benchmarks study`."""

    setup: Setup
    workers: int  # processes of ours, of one thread each; the peer has as many threads
    ours: dict[str, float]  # victim -> seconds that ours took for all of its sets, processes started anew
    families: list[StudyFamily]
    sets: list[StudySet]
    finished: bool

    def theirs(self, victim: str) -> float:
        """Seconds that the peers took for the same sets."""
        return sum(row.seconds_theirs or 0.0 for row in self.families if row.victim == victim)


def spread(values: list[float]) -> Spread:
    """Median, smallest and largest of one value or more."""
    return Spread(median=median(values), low=min(values), high=max(values), rounds=len(values))


class Timing(Record):
    """What was measured of one row."""

    name: str
    title: str
    unit: str
    values: list[float] = Field(min_length=1)
    median: float
    worst: float  # 99th percentile; the 1st where more is better
    target: float
    met: bool


class Served(Record):
    """What clients saw of a server in a process of its own, on the same machine as they."""

    images: int  # in each request
    clients: int
    seconds: float
    requests: int
    errors: list[str]
    rate: float  # images a second
    python_rate: float  # of the Python call, one after the other, with as many images in each
    median_ms: float  # of a request
    worst_ms: float  # 99th percentile
    idle_mib: int  # resident memory before the first request
    peak_mib: int
    met: bool  # 80 % of the Python call's rate, no error, at most 1 GiB over the idle process


class AttributeBench(Record):
    """The record of `python -m benchmarks attribute`."""

    command: str
    version: str
    commit: str
    started: str  # ISO 8601, UTC
    machine: Machine
    threads: int
    bundle: str  # SHA-256 of its card
    source: str
    parts: list[str]
    images: int
    timings: list[Timing]
    served: list[Served]


class DrawnRow(Record):
    """An attack of drawn settings on one victim, over sets of one setting; a value a round."""

    victim: str
    attack: str
    label: str
    rates: list[float] = Field(min_length=1)  # passes a second of CPU time, drawn over fixed
    costs: list[float] = Field(min_length=1)  # CPU time, drawn over fixed
    passes: float  # an image, drawn


class DrawnBench(Setup):
    """The record of `python -m benchmarks drawn`."""

    rows: list[DrawnRow]


class Started(Record):
    """What was measured of one row."""

    name: str
    title: str
    command: str
    seconds: list[float] = Field(min_length=1)  # of CPU time, user and system, one value a round
    ratio: float  # median over the rounds, over the import of PyTorch in the same round
    beyond_one: float  # median over the rounds: seconds beyond one image in the same round
    target: str
    met: bool | None  # None without a target


class StartBench(Record):
    """The record of `python -m benchmarks start`."""

    command: str
    version: str
    commit: str
    started: str  # ISO 8601, UTC
    machine: Machine
    bundle: str  # SHA-256 of its card
    source: str
    parts: list[str]
    images: int  # of the folder
    rows: list[Started]
