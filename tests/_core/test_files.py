"""Paths as people give them, and writing files whole: links, permissions, full disks, killed writers."""

import errno
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet import BestModel, Trainer, TwoLayerNet, load_digits, load_weights
from xpnet.__main__ import main
from xpnet._core.files import check_path, check_writable, whole_file, write_whole
from xpnet.errors import ArgumentError, DataError, WriteError
from xpnet.plotting import plot_learning_curves, plot_runs
from xpnet.search import SearchResult, Trial, Uniform
from xpnet.training.history import History

posix = pytest.mark.skipif(os.name != "posix", reason="links, modes and pipes of POSIX")


def network(seed=0):
    return TwoLayerNet(4, 3, 2, seed=seed, backend="numpy")


# --- how paths are taken ----------------------------------------------------------------------------------------------


class Place:
    """An `os.PathLike`."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return self.path


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A home folder, and a working folder beside it."""
    folder = tmp_path / "home"
    folder.mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.chdir(tmp_path / "here")
    return folder


def best_model(path):
    (x, t), _ = load_digits()
    net = TwoLayerNet(64, 3, 10, seed=0, backend="numpy")
    Trainer(net, x, t, None, None, epochs=1, validation=0.2, callbacks=[BestModel(path)], verbose=False).train()


HISTORY = History(loss=[1.0], evaluated_at=[0, 1], elapsed_seconds=[0.0, 0.1], train_acc=[0.1, 0.2])
RESULT = SearchResult([Trial({"lr": 0.1}, 0.5, None, 1.0)], {"lr": Uniform(0, 1)}, 0)
WRITERS = {
    "save": (lambda path: network().save(path), "f.safetensors"),
    "BestModel": (best_model, "f.safetensors"),
    "History.to_csv": (HISTORY.to_csv, "f.csv"),
    "History.to_json": (HISTORY.to_json, "f.json"),
    "History.plot": (HISTORY.plot, "f.png"),
    "SearchResult.to_csv": (RESULT.to_csv, "f.csv"),
    "SearchResult.plot": (RESULT.plot, "f.svg"),
    "plot_runs": (lambda path: plot_runs({"a": [1.0, 2.0]}, path=path), "f.png"),
    "plot_learning_curves": (lambda path: plot_learning_curves([1.0], [0.0, 1.0], [0.1, 0.2], [], path=path), "f.pdf"),
    "a graph's drawing": (lambda path: xpnet.network_graph(network()).draw(path), "f.txt"),
    "write_whole": (lambda path: write_whole(path, "text"), "f"),
    "check_writable": (lambda path: (check_writable(path), check_path("path", path).touch()), "f"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("make", [str, Path, Place], ids=["str", "Path", "PathLike"])
def test_a_path_in_the_home_folder_is_written_there(home, writer, make):
    write, name = WRITERS[writer]
    write(make(f"~/sub/{name}"))
    assert [path.name for path in (home / "sub").iterdir()] == [name]
    assert os.listdir() == []


@pytest.mark.parametrize("make", [str, Path, Place], ids=["str", "Path", "PathLike"])
def test_a_path_in_the_home_folder_is_read_from_there(home, make):
    net = network()
    net.save(home / "w.safetensors")
    assert np.array_equal(network(1).load(make("~/w.safetensors")).params["W1"], net.params["W1"])
    assert np.array_equal(load_weights(make("~/w.safetensors"))["W1"], net.params["W1"])
    with pytest.raises(DataError, match="does not hold the book's weights"):
        xpnet.load_sample_weight(make("~/w.safetensors"))
    assert set(xpnet.load_sample_weight(make("~/w.safetensors"), verify=False)) == set(net.params)


def test_the_command_line_writes_into_the_home_folder(home):
    arguments = ["--backends", "numpy", "--networks", "TwoLayerNet", "--widths", "2", "--batches", "2"]
    assert main(["bench", *arguments, "--repeats", "1", "--csv", "~/b.csv", "--json=~/b.json"]) == 0
    assert sorted(os.listdir(home)) == ["b.csv", "b.json"]
    assert os.listdir() == []


@pytest.mark.parametrize(
    "value", [b"file", "", 3, None, ["a"], "a\0b", Place(b"file")], ids=lambda value: type(value).__name__
)
def test_what_is_no_path_is_refused_by_name(value):
    for call in (
        network().save,
        network().load,
        load_weights,
        HISTORY.to_csv,
        BestModel,
        lambda path: write_whole(path, ""),
    ):
        with pytest.raises(ArgumentError, match=r"^path must be a path, such as `'output/file'`, got "):
            call(value)


def test_a_home_folder_that_is_not_known_is_an_error_and_its_remedy_works(home):
    for name in ("~no-such-user/file", "~no-such-user.txt"):
        with pytest.raises(ArgumentError, match="there is no such home folder") as caught:
            write_whole(name, "text")
        remedy = str(caught.value).split("`")[1]
        path = write_whole(eval(remedy), "text")
        assert Path.cwd() / name == path == check_path("path", path)
        assert path.read_text() == "text"
        assert os.listdir(home) == []


def test_a_name_with_a_tilde_inside_is_left_alone(home):
    assert write_whole("a~/b~", "text").read_text() == "text"
    assert Path("a~/b~").exists()


# --- links, permissions, and what is no file --------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("kind", ["absolute", "relative", "of a link", "to nothing", "to a folder to come"])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path, kind):
    target, link = tmp_path / "disk" / "run-7.txt", tmp_path / "latest.txt"
    target.parent.mkdir()
    if kind == "relative":
        link.symlink_to("disk/run-7.txt")
    elif kind == "of a link":
        (tmp_path / "other").symlink_to(target)
        link.symlink_to("other")
    else:
        link.symlink_to(target)
    if kind == "to a folder to come":
        target.parent.rmdir()
    elif kind != "to nothing":
        target.write_text("old")
    check_writable(link)
    assert write_whole(link, "new") == link
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert os.listdir(target.parent) == ["run-7.txt"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o700])
def test_an_existing_file_keeps_its_mode_and_a_new_one_has_that_of_the_umask(tmp_path, mode):
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    write_whole(path, "text")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    old = os.umask(0o027)
    try:
        assert stat.S_IMODE(write_whole(tmp_path / "new", "text").stat().st_mode) == 0o640
    finally:
        os.umask(old)


def refused(path, says):
    """Neither written nor, by `check_writable`, believed to be writable; and nothing is left beside it."""
    before = sorted(os.listdir(Path(path).parent)) if Path(path).parent.is_dir() else None
    with pytest.raises(WriteError, match=says) as caught:
        write_whole(path, "text")
    assert str(caught.value).startswith(f"{path} cannot be written: ")
    with pytest.raises(WriteError, match=says):
        network().save(path)
    with pytest.raises(ArgumentError, match=says):
        check_writable(Path(path))
    assert before is None or sorted(os.listdir(Path(path).parent)) == before


@posix
def test_what_is_no_file_is_not_replaced_by_one(tmp_path):
    refused(tmp_path, r"it is a folder\. Add the name of a file to it\.")
    os.mkfifo(tmp_path / "pipe")  # no device of the machine: a fault, and the administrator's rights, would replace it
    refused(tmp_path / "pipe", "it is a pipe or a device")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    refused(tmp_path / "a", "symbolic links|Too many")
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "below", "Not a directory|File exists")


@posix
def test_a_write_protected_file_is_not_replaced(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "file", "old")
    path.chmod(0o444)
    # by hand: the administrator, who runs many a test, may write everything
    monkeypatch.setattr(os, "access", lambda at, how: not (Path(at) == path and how == os.W_OK))
    refused(path, "the file is write-protected")
    assert path.read_text() == "old"


@posix
def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    path, plain_open = write_whole(tmp_path / "file", "old"), Path.open

    def refuse(self, mode="r", **more):
        if mode == "xb":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return plain_open(self, mode, **more)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(WriteError, match=r"file cannot be written: Permission denied\. Choose another path\."):
        write_whole(path, "new")
    assert path.read_text() == "old"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = write_whole(tmp_path / "file", "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(WriteError, match=r"file cannot be written: No space left on device\. Free some space"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@posix
def test_a_file_that_grows_too_large_is_said_and_leaves_the_old_file(tmp_path):
    program = """
        import resource, signal, sys
        from xpnet.errors import WriteError
        from xpnet._core.files import write_whole
        write_whole(sys.argv[1], "old")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_whole(sys.argv[1], b"x" * 10_000)
        except WriteError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), tmp_path / "file"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    assert "cannot be written: File too large" in done.stdout
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@posix
def test_the_renaming_is_made_to_last(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_ino), fsync(fd))[1])
    path = write_whole(tmp_path / "file", "text")
    assert synced == [path.stat().st_ino, tmp_path.stat().st_ino]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a" * 255, "가" * 85, "가중치" * 28, "x" * 217, "x" * 216, "모델 가중치.safetensors"])
def test_every_name_that_the_file_system_takes_can_be_written(tmp_path, name):
    for text in ("one", "two"):
        assert write_whole(tmp_path / name, text).read_text() == text
    net = network()
    net.save(tmp_path / name)
    assert np.array_equal(network(1).load(tmp_path / name).params["W1"], net.params["W1"])
    assert os.listdir(tmp_path) == [name]


@posix
def test_a_name_that_it_does_not_take_is_said(tmp_path):
    with pytest.raises(WriteError, match=r"File name too long\. Choose a shorter name\."):
        write_whole(tmp_path / ("가" * 86), "text")


# --- killed writers ---------------------------------------------------------------------------------------------------


PART = f".file.{'0123456789abcdef' * 2}.part"


@posix
@pytest.mark.parametrize("name", ["file", "a" * 255])
def test_what_killed_writers_left_is_removed_by_the_next(tmp_path, name):
    program = """
        import os, signal, sys
        from xpnet._core.files import whole_file
        with whole_file(sys.argv[1]) as file:
            file.write(b"part")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), tmp_path / name]
    assert subprocess.run(command, check=False, timeout=600).returncode == -9
    assert len(os.listdir(tmp_path)) == 1
    write_whole(tmp_path / "another", "text")
    assert len(os.listdir(tmp_path)) == 2
    write_whole(tmp_path / name, "text")
    assert sorted(os.listdir(tmp_path)) == sorted([name, "another"])


def test_what_is_not_ours_or_still_being_written_stays(tmp_path):
    others = [".file.part", f"{PART}.old", PART.replace("file", "file2"), PART.upper(), f"x{PART}", ".file.notes.part"]
    for other in others:
        (tmp_path / other).write_text("not ours")
    (tmp_path / PART.replace("0", "f")).mkdir()
    with whole_file(tmp_path / "file") as slow:
        slow.write(b"slow")
        write_whole(tmp_path / "file", "quick")
        assert (tmp_path / "file").read_text() == "quick"
    assert (tmp_path / "file").read_text() == "slow"
    assert sorted(os.listdir(tmp_path)) == sorted([*others, PART.replace("0", "f"), "file"])


@posix
def test_a_part_that_another_writer_removes_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    import fcntl

    removed, flock = [], fcntl.flock

    def slow(descriptor, how):
        for part in [] if removed else tmp_path.glob(".file.*.part"):
            removed.append(part.unlink())
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    assert write_whole(tmp_path / "file", "text").read_text() == "text"
    assert len(removed) == 1
    assert os.listdir(tmp_path) == ["file"]


@posix
def test_a_file_system_without_permissions_can_be_written(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    path = write_whole(tmp_path / "file", "old")
    monkeypatch.setattr(os, "fchmod", refuse)
    assert write_whole(path, "new").read_text() == "new"


def test_where_files_cannot_be_locked_only_old_parts_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("xpnet._core.files.fcntl", None)
    new, old = tmp_path / PART, tmp_path / PART.replace("0", "f")
    new.touch()
    old.touch()
    os.utime(old, (1, 1))
    write_whole(tmp_path / "file", "text")
    assert sorted(os.listdir(tmp_path)) == sorted([new.name, "file"])
