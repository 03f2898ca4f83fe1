"""Services read fast are those that botocore reads."""

import json
from pathlib import Path

import pytest
from botocore.exceptions import DataNotFoundError
from botocore.loaders import Loader
from botocore.utils import parse_timestamp

from homeport.system.aws_model import Models, moment


@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1", "paginators-1"])
def test_what_is_read_is_what_botocore_reads(kind: str) -> None:
    ours, plain = Models().load_service_model("sqs", kind), Loader().load_service_model("sqs", kind)
    assert json.dumps(ours) == json.dumps(plain), "in the same order"


def test_the_same_services_are_there() -> None:
    assert Models().list_available_services("service-2") == Loader().list_available_services("service-2")


def test_endpoints_are_read_as_well_and_what_is_not_there_is_not() -> None:
    assert Models().load_data("endpoints") == Loader().load_data("endpoints")
    with pytest.raises(DataNotFoundError):
        Models().load_data("nothing-of-that-name")
    with pytest.raises(DataNotFoundError):
        Models().load_service_model("nothing-of-that-name", "service-2")


def test_what_people_add_is_found_first(tmp_path: Path) -> None:
    place = tmp_path / "sqs" / "2012-11-05"
    place.mkdir(parents=True)
    (place / "service-2.json").write_text('{"of": "theirs"}')
    assert Models([str(tmp_path)]).load_service_model("sqs", "service-2") == {"of": "theirs"}


def test_services_are_looked_for_once(tmp_path: Path) -> None:
    models = Models([str(tmp_path / "nowhere"), str(tmp_path)])
    before = models.list_available_services("service-2")
    (tmp_path / "brand-new").mkdir()
    assert models.list_available_services("service-2") == before
    assert set(Models([str(tmp_path)]).list_available_services("service-2")) == {*before, "brand-new"}


@pytest.mark.parametrize(
    "told",
    ["2026-11-22T08:15:30Z", "2026-11-22T08:15:30.250Z", "2026-11-22T08:15:30+01:00", "2026-11-22T08:15:30",
     "Sun, 22 Nov 2026 08:15:30 GMT", "20261122T081530Z", "1795335330", 1795335330, 1795335330.25],
)  # fmt: skip
def test_times_are_what_botocore_reads(told: object) -> None:
    assert moment(told) == parse_timestamp(told)
    assert moment(told).utcoffset() is not None or parse_timestamp(told).utcoffset() is None


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        moment("2026-99-22T08:15:30Z")
