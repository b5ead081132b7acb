"""What is kept from the terminal, and what is not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from chorus.native_output import diverted, without_lines


def test_both_descriptors_are_diverted_and_come_back(capfd):
    with diverted(1, 2) as file:
        os.write(1, b"one\n")
        os.write(1, b"two\n")
        os.write(2, b"three\n")
    os.write(1, b"four\n")
    assert capfd.readouterr() == ("four\n", "")
    assert file.closed


def test_one_descriptor_alone(capfd):
    with diverted(2) as file:
        os.write(1, b"seen\n")
        os.write(2, b"kept\n")
        file.seek(0)
        assert file.read() == b"kept\n"
    assert capfd.readouterr() == ("seen\n", "")


def test_other_lines_follow_in_order(capfd):
    with without_lines(b"INFO: started"):
        os.write(2, b"WARNING: a\nINFO: started well\nINFO: b\n")
        os.write(2, b"INFO: started")  # a line without an end
    assert capfd.readouterr().err == "WARNING: a\nINFO: b\n"


def test_an_error_passes_with_what_was_said_before(capfd):
    with pytest.raises(ValueError, match="broken"), without_lines(b"INFO"):
        os.write(2, b"INFO: begins\nERROR: why\n")
        raise ValueError("broken")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "ERROR: why\nafter\n"


def test_closed_descriptors_are_left_alone():
    done = in_a_process(
        "os.close(2)\nwith without_lines(b'INFO'):\n    os.write(1, b'inside'); print(' and out')"
    )
    assert (done.returncode, done.stdout) == (0, "inside and out\n")


def test_pythons_streams_keep_their_order():
    done = in_a_process(
        "print('before', end=' ', file=sys.stderr)\nwith without_lines(b'INFO'):\n"
        "    print('inside', file=sys.stderr)\nprint('after', file=sys.stderr)"
    )
    assert (done.returncode, done.stderr) == (0, "before inside\nafter\n")


def in_a_process(code: str) -> subprocess.CompletedProcess:
    start = "import os, sys\nfrom chorus.native_output import without_lines\n"
    return subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True, check=False
    )
