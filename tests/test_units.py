"""Memory, walltime and numbers: what is read, what is refused, and that each text reads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcspawner import units


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("8G", 8192),
        ("8g", 8192),
        ("8GB", 8192),
        ("8GiB", 8192),
        ("8 GiB", 8192),
        ("512M", 512),
        ("1.5T", 1536 * 1024),
        ("2048K", 2),
        ("512", 512),
        (512, 512),
        (" 4G ", 4096),
    ],
)
def test_memory_is_read_with_binary_units(text: str | int, mib: int) -> None:
    assert units.parse_memory(text) == mib


@pytest.mark.parametrize(
    "value", ["", "G", "8X", "-1G", "1.5", "0", "10K", "8G\n8G", "٨G", True, None, 2.0, [], "9" * 99]
)
def test_memory_refuses_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not|less than|too large|no whole"):
        units.parse_memory(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("02:00:00", 7200),
        ("2:00:00", 7200),
        ("100:00:00", 360000),
        ("1-02:03:04", 93784),
        ("1-02:03", 93780),
        ("1-02", 93600),
        ("90", 5400),
        (90, 5400),
        ("00:00:01", 1),
    ],
)
def test_walltime_is_a_clock_or_minutes(text: str | int, seconds: int) -> None:
    assert units.parse_walltime(text) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "0", "00:00:00", "-5", "1:61:00", "1-24:00:00", "00:00:60", "1h", "UNLIMITED", "1:2:3", True, None, 1.5],
)
def test_walltime_refuses_what_is_no_time(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        units.parse_walltime(value)


def test_two_numbers_alone_are_refused_since_schedulers_differ() -> None:
    with pytest.raises(ValueError, match="hours or minutes; write HH:MM:SS"):
        units.parse_walltime("30:00")


@pytest.mark.parametrize("value", ["1.0", "0x10", "1_000", "", "١", True, 1.0, None, 10**13, "9" * 5000, 2**99])
def test_whole_numbers_refuse_everything_else(value: object) -> None:
    with pytest.raises(ValueError, match=r"no whole number|too large"):
        units.parse_int(value)


def test_a_number_too_long_to_print_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="bits is too large"):
        units.parse_int(10**5000)


@given(st.integers(1, 10**9))
def test_memory_reads_back(mib: int) -> None:
    assert units.parse_memory(units.format_memory(mib)) == mib


@given(st.integers(1, 10**8))
def test_walltime_reads_back(seconds: int) -> None:
    assert units.parse_walltime(units.format_walltime(seconds)) == seconds


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none()))
def test_parsers_raise_nothing_but_value_errors(value: object) -> None:
    for parse in (units.parse_int, units.parse_memory, units.parse_walltime):
        text = ""
        try:
            parse(value)
        except ValueError as error:
            text = str(error)
        assert text == "" or text.isprintable()
        assert len(text) < 200


@pytest.mark.parametrize(
    ("seconds", "words"), [(7200, "2 h"), (5400, "1 h 30 min"), (93784, "1 d 2 h"), (45, "45 s"), (0, "0 s")]
)
def test_walltime_in_words(seconds: int, words: str) -> None:
    assert units.say_walltime(seconds) == words


@pytest.mark.parametrize(("mib", "words"), [(4096, "4 GiB"), (1536, "1.5 GiB"), (512, "512 MiB"), (1024**2, "1 TiB")])
def test_memory_in_words(mib: int, words: str) -> None:
    assert units.say_memory(mib) == words
