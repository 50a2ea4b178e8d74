"""CITATION.cff: the keys and types of CFF 1.2.0 that it uses, checked by hand, and the version of this package."""

import re
from pathlib import Path

import yaml

from realtime import __version__

CITATION = yaml.safe_load((Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8"))
# The types of references that we use, with the keys that a reader needs to find them.
TYPES = {
    "conference-paper": {"collection-title", "year"},
    "article": {"journal", "year", "doi"},
    "software": {"repository-code"},
}


def test_the_software_is_described_by_the_keys_that_the_format_requires() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type"} <= set(CITATION)
    assert (CITATION["version"], CITATION["license"]) == (__version__, "AGPL-3.0-or-later")


def test_each_reference_can_be_found() -> None:
    for reference in CITATION["references"]:
        assert {"title", "authors", "type", *TYPES[reference["type"]]} <= set(reference)
        assert all({"family-names", "given-names"} == set(author) for author in reference["authors"])
        assert re.fullmatch(r"10\.\d{4,9}/\S+", reference.get("doi", "10.1234/none"))
        assert all(re.fullmatch(r"arXiv:\d{4}\.\d{4,5}", each["value"]) for each in reference.get("identifiers", []))


def test_the_models_and_methods_of_a_default_run_are_cited() -> None:
    titles = " ".join(reference["title"] for reference in CITATION["references"])
    assert all(name in titles for name in ("ViTPose:", "ViTPose++", "Ultralytics YOLO", "ByteTrack", "1€ Filter"))
