"""Released files: whatever goes wrong on the way, the cache has a correct file or none."""

import hashlib
import os
import resource
import subprocess
import sys
from dataclasses import replace

import pytest

from keras_mixer.weights import fetch
from tests.conftest import ROOT

FETCH = (
    "from keras_mixer.weights import Release, fetch; import sys; print(fetch(Release({!r}, {})))"
)


def kept(cache):
    """The files in the cache, but for locks."""
    files = (p for p in cache.glob("keras_mixer/**/*") if p.is_file())
    return sorted(p.name for p in files if p.suffix != ".lock")


def fetching(release):
    """`fetch` in a process of its own, on JAX, which starts in half of TensorFlow's time."""
    code = FETCH.format(release.url, release.mib)
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=-1, stderr=-1, text=True, env=environment
    )


def test_a_file_is_fetched_once_with_a_progress_bar(bucket, cache, capfd):
    path = fetch(bucket.release)
    assert path == cache / "keras_mixer/models/set/Some-Model.npz"
    assert path.read_bytes() == bucket.content
    assert "Some-Model.npz: 100%" in capfd.readouterr().err
    assert fetch(bucket.release) == path
    assert bucket.requests == [None]
    assert kept(cache) == ["Some-Model.npz", "Some-Model.npz.sha256"]
    assert capfd.readouterr().err == ""


def test_the_cache_is_in_the_home_folder_where_keras_home_is_not_set(bucket, cache, monkeypatch):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(cache))
    assert fetch(bucket.release).is_relative_to(cache / ".keras/keras_mixer")


def test_a_broken_connection_is_taken_up_where_it_broke(bucket, cache):
    bucket.cuts = [1_000_000, 500_000]
    assert fetch(bucket.release).read_bytes() == bucket.content
    assert bucket.requests == [None, "bytes=1000000-", "bytes=1500000-"]
    assert kept(cache) == ["Some-Model.npz", "Some-Model.npz.sha256"]


def test_a_connection_that_keeps_breaking_is_an_error_and_the_next_call_goes_on(bucket, cache):
    bucket.cuts = [1_048_576, 0, 0, 0, 0]
    with pytest.raises(ConnectionError, match=r"did not come: .*1\.00 of 2\.86 MiB .*weights=PATH"):
        fetch(bucket.release)
    assert [name for name in kept(cache) if not name.startswith("Some-Model.npz.part-")] == []
    assert fetch(bucket.release).read_bytes() == bucket.content
    assert bucket.requests[-1] == "bytes=1048576-"


def test_a_connection_that_breaks_often_but_brings_something_each_time_is_fine(bucket):
    bucket.cuts = [300_000] * 9
    assert fetch(bucket.release).read_bytes() == bucket.content
    assert len(bucket.requests) == 10


def test_without_an_etag_a_broken_download_starts_again(bucket):
    bucket.etag, bucket.cuts = False, [1_000_000]
    assert fetch(bucket.release).read_bytes() == bucket.content
    assert bucket.requests == [None, None]


def test_a_file_that_changed_meanwhile_starts_again(bucket, cache):
    bucket.cuts = [1_000_000, 0, 0, 0, 0]
    with pytest.raises(ConnectionError):
        fetch(bucket.release)
    bucket.content = bucket.content[::-1]
    assert fetch(bucket.release).read_bytes() == bucket.content
    assert kept(cache) == ["Some-Model.npz", "Some-Model.npz.sha256"]


def test_a_part_that_is_too_long_already_starts_again(bucket, cache):
    bucket.cuts = [1_000_000, 0, 0, 0, 0]
    with pytest.raises(ConnectionError):
        fetch(bucket.release)
    [part] = cache.rglob("*.part-*")
    part.write_bytes(bytes(len(bucket.content) + 1))
    assert fetch(bucket.release).read_bytes() == bucket.content


def test_a_file_that_came_damaged_is_an_error_and_is_not_kept(bucket, cache):
    bucket.md5 = "AAAAAAAAAAAAAAAAAAAAAA=="
    with pytest.raises(ValueError, match=r"Some-Model\.npz came damaged: .* 0{32}"):
        fetch(bucket.release)
    assert kept(cache) == []


def test_a_file_of_another_size_is_an_error_and_is_not_kept(bucket, cache):
    release = bucket.release
    bucket.content = b"<html>Sign in to the hotel's network</html>"
    with pytest.raises(ValueError, match=r"has 0\.00 MiB, and the released file has 2\.86"):
        fetch(release)
    assert kept(cache) == []


def test_a_file_of_another_digest_than_the_table_s_is_an_error_and_is_not_kept(bucket, cache):
    digest = hashlib.sha256(bucket.content).hexdigest()
    release = replace(bucket.release, sha256="0" * 64)
    with pytest.raises(ValueError, match=f"digest {digest}, and the released file has 000"):
        fetch(release)
    assert kept(cache) == []
    # A file whose size and digest nobody knows is taken as the server announces it.
    assert fetch(replace(release, sha256=None, mib=None)).read_bytes() == bucket.content


def test_another_file_than_the_one_seen_before_is_an_error(bucket, cache):
    path = fetch(bucket.release)
    path.unlink()
    bucket.content = bucket.content[::-1]
    with pytest.raises(ValueError, match=r"another file than the one seen.*delete .*\.sha256"):
        fetch(bucket.release)
    assert kept(cache) == ["Some-Model.npz.sha256"]


def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(bucket):
    path = fetch(bucket.release)
    path.write_bytes(bucket.content[:-1] + b"x")
    with pytest.warns(UserWarning, match=r"Some-Model\.npz is not as it came"):
        assert fetch(bucket.release).read_bytes() == bucket.content


def test_a_file_that_was_put_there_by_hand_is_taken_when_its_size_is_right(bucket, cache):
    path = bucket.release.path
    path.parent.mkdir(parents=True)
    path.write_bytes(bucket.content)
    assert fetch(bucket.release) == path
    assert bucket.requests == []
    assert kept(cache) == ["Some-Model.npz", "Some-Model.npz.sha256"]
    path.with_name("Some-Model.npz.sha256").unlink()
    path.write_bytes(bucket.content[:100])
    with pytest.raises(ValueError, match=rf"{path} has 0\.00 MiB, and the released file has 2\.86"):
        fetch(bucket.release)
    assert path.exists()  # it is not ours to delete


def test_a_file_that_is_not_there_is_an_error_at_once(bucket, cache):
    bucket.statuses = [404]
    with pytest.raises(FileNotFoundError, match=r"set/Some-Model\.npz is not there: 404"):
        fetch(bucket.release)
    assert bucket.requests == [None]
    assert kept(cache) == []


def test_a_server_in_trouble_is_asked_again(bucket):
    bucket.statuses = [503, 429]
    assert fetch(bucket.release).read_bytes() == bucket.content
    assert bucket.requests == [None, None, None]


def test_a_server_that_cannot_be_reached_is_an_error(bucket, cache):
    bucket.server.shutdown()
    bucket.server.server_close()
    with pytest.raises(ConnectionError, match=r"did not come: .*refused.*weights=PATH"):
        fetch(bucket.release)
    assert kept(cache) == []


def test_a_file_larger_than_the_disk_is_an_error_before_anything_is_written(bucket, cache):
    bucket.length = 10**15
    with pytest.raises(OSError, match=r"no room for 953674316\.4 MiB.*KERAS_HOME"):
        fetch(bucket.release)
    assert kept(cache) == []


def test_a_disk_that_fills_up_is_an_error_and_leaves_nothing(bucket, cache):
    """The kernel's limit on a file's size stands in for a full disk: the write itself fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with pytest.raises(OSError, match=r"^There is no room for 2\.9 MiB in "):
            fetch(bucket.release)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert kept(cache) == []


@pytest.mark.slow
def test_of_two_processes_one_fetches_and_the_other_waits(bucket, cache):
    bucket.hold = True
    first = fetching(bucket.release)
    assert bucket.half_way.wait(60)
    second = fetching(bucket.release)
    line = next(line for line in second.stderr if "Another process" in line)
    assert "is fetching Some-Model.npz" in line
    bucket.go_on()
    paths = {process.communicate(timeout=60)[0].strip() for process in (first, second)}
    assert paths == {str(bucket.release.path)}
    assert bucket.release.path.read_bytes() == bucket.content
    assert bucket.requests == [None]


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_a_part_to_go_on_from(bucket, cache):
    bucket.hold = True
    process = fetching(bucket.release)
    assert bucket.half_way.wait(60)
    while not any(p.stat().st_size >= 2**20 for p in cache.rglob("*.part-*")):
        assert process.poll() is None
    process.kill()
    process.communicate()
    bucket.hold = False
    assert fetch(bucket.release).read_bytes() == bucket.content
    assert bucket.requests == [None, "bytes=1048576-"]


def test_a_cache_that_cannot_be_written_says_how_to_choose_another(bucket, monkeypatch, tmp_path):
    tmp_path.joinpath("file").write_text("")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match="KERAS_HOME"):
        fetch(bucket.release)
