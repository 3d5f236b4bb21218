from .campaigns import Campaign, campaign_table, read_campaigns
from .choice import attribute, load_examiner
from .evidence import Evidence, digest_of, read_bytes
from .examine import ExamineOptions, Examiner, FileExaminer, Judged, read_all, read_reference
from .export import EXPORTS, Export, check_exports, export_found
from .journal import Entry
from .picture import evidence_picture, write_pictures
from .printing import PRINTERS
from .statement import KNOWING, Judgement
from .tour import take_tour, tour_table, tour_totals
from .verdict import Failure, Verdict
from .watch import Wait, watch_folder

__all__ = [
    "EXPORTS",
    "KNOWING",
    "PRINTERS",
    "Campaign",
    "Entry",
    "Evidence",
    "ExamineOptions",
    "Examiner",
    "Export",
    "Failure",
    "FileExaminer",
    "Judged",
    "Judgement",
    "Verdict",
    "Wait",
    "attribute",
    "campaign_table",
    "check_exports",
    "digest_of",
    "evidence_picture",
    "export_found",
    "load_examiner",
    "read_all",
    "read_bytes",
    "read_campaigns",
    "read_reference",
    "take_tour",
    "tour_table",
    "tour_totals",
    "watch_folder",
    "write_pictures",
]
