"""Standard output in a process of its own, because it is one of the things that a process has only once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.stdout import kept_path

ROOT = Path(__file__).parents[1]
KEEP = (
    "import os, sys\nfrom pathlib import Path\nfrom realtime.stdout import is_kept, keep_stdout, kept_path, write_out\n"
)
KEEP += "keep_stdout()\n"


def run(code: str, **more) -> subprocess.CompletedProcess[str]:
    """Run Python code after `keep_stdout`."""
    command = [sys.executable, "-c", KEEP + code]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.run(command, text=True, check=False, cwd=ROOT, timeout=60, **streams)


def test_libraries_print_on_standard_error_and_only_our_own_text_goes_to_standard_output():
    printers = "print('a library', flush=True); os.write(1, b'a C library\\n'); os.system('echo a child')"
    result = run(f"{printers}; write_out('ours\\n')")
    assert result.stdout == "ours\n"
    assert result.stderr.splitlines() == ["a library", "a C library", "a child"]
    assert result.returncode == 0


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "a link", "a link to a link"])
def test_an_output_file_that_leads_to_standard_output_is_written_there(name, tmp_path):
    first, second = tmp_path / "1", tmp_path / "report.json"
    first.symlink_to("/dev/stdout")
    second.symlink_to("1")
    path = {"a link": first, "a link to a link": second}.get(name, name)
    result = run(
        f"path = kept_path(Path({str(path)!r})); path.open('a').write('a report\\n'); sys.exit(not is_kept(path))"
    )
    assert (result.stdout, result.stderr, result.returncode) == ("a report\n", "", 0)


def test_any_other_output_file_keeps_its_path(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "1").write_text("")
    for path in (tmp_path / "loop", tmp_path / "1", Path("1"), Path("/dev/stderr"), Path("/dev/null")):
        assert run(f"path = Path({str(path)!r}); sys.exit(kept_path(path) != path or is_kept(path))").returncode == 0


def test_a_process_that_shares_its_standard_output_writes_to_the_path_itself():
    assert kept_path(Path("/dev/stdout")) == Path("/dev/stdout")


def test_a_full_or_closed_standard_output_is_one_error_and_the_exit_prints_nothing_more():
    code = "\ntry: write_out('x' * 100_000)\nexcept Exception as error: sys.exit(f'{type(error).__name__}: {error}')"
    with Path("/dev/full").open("w") as full:
        result = run(code, stdout=full)
    assert result.stderr == "OutputError: standard output can't be written: No space left on device\n"
    reader, writer = os.pipe()
    os.close(reader)
    assert run(code, stdout=writer).stderr == "BrokenPipeError: [Errno 32] Broken pipe\n"
    os.close(writer)
    result = run(code, preexec_fn=lambda: os.close(1), stdout=None)
    assert result.stderr == "OutputError: standard output can't be written: it is closed\n"


def test_an_output_that_leads_to_a_closed_standard_output_is_refused():
    command = f"""exec {sys.executable} run_realtime.py --source demo --report /dev/stdout >&-"""
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stderr == "realtime-pose: error: /dev/stdout can't be written: standard output is closed\n"
