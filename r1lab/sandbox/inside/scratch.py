"""The one folder that programs can write to, fresh for every run."""

from __future__ import annotations

import os
import stat

from r1lab.sandbox.inside import system

#: Room for the file system's own bookkeeping: a folder or a small file takes a page.
SLACK = 256 << 10
#: Files and folders; each takes kernel memory that no other limit counts.
MOST_FILES = 8192


class Scratch:
    """``work`` (where the program starts) and ``tmp`` under ``root``."""

    def __init__(self, root: str, mounts: bool, owner: int | None):
        self.root, self.mounts, self.owner = root, mounts, owner
        self.work = os.path.join(root, "work")
        self._mounted = False

    def renew(self, files: dict[str, bytes], disk_bytes: int) -> None:
        """Only ``files`` are there afterwards, with room for ``disk_bytes`` in all."""
        if self.mounts:
            if self._mounted:
                system.unmount(self.root)
            size = f"size={disk_bytes},nr_inodes={MOST_FILES},mode=0755"
            flags = system.MS_NOSUID | system.MS_NODEV
            system.mount("tmpfs", self.root, "tmpfs", flags, size)
            self._mounted = True
        else:
            empty(self.root)
        for folder in (self.work, os.path.join(self.root, "tmp")):
            os.mkdir(folder)
            self._give(folder)
        for name, content in files.items():
            path = self.work
            *folders, last = name.split("/")
            for folder in folders:
                path = os.path.join(path, folder)
                if not os.path.isdir(path):
                    os.mkdir(path)
                    self._give(path)
            path = os.path.join(path, last)
            with open(path, "xb") as file:
                file.write(content)
            os.chmod(path, 0o755)
            self._give(path)

    def take(self, name: str, most: int) -> bytes:
        """The content of a plain file that a program left in ``work``; raises ``OSError``."""
        descriptor = os.open(os.path.join(self.work, name), os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > most:
                raise OSError(f"{name} is no file of at most {most} bytes")
            return file.read(most)

    def _give(self, path: str) -> None:
        if self.owner is not None:
            os.chown(path, self.owner, self.owner)


def empty(root: str) -> None:
    """Delete all that is in ``root``, however deep it is and whatever its permissions are.

    Deep folders are moved up before they are deleted, so that neither recursion nor the length of
    a path comes to an end.
    """
    count = 0
    os.chmod(root, 0o700)
    while names := os.listdir(root):
        for name in names:
            path = os.path.join(root, name)
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in os.listdir(path):
                below = os.path.join(path, inner)
                if os.path.islink(below) or not os.path.isdir(below):
                    os.unlink(below)
                    continue
                os.chmod(below, 0o700)
                count += 1
                os.rename(below, os.path.join(root, f".{count}.emptied"))
            os.rmdir(path)
