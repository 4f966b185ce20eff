"""Where a file lies: on a disk of this machine, or on a network file system."""

from __future__ import annotations

from pathlib import Path

# As Linux names them. What is not named here counts as local.
NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "orangefs")
)
_FUSE = ("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.beegfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone")
_MOUNTS = Path("/proc/self/mountinfo")


def network_file_system(path: Path) -> str | None:
    """Return the name of the network file system that a path lies on, or None for a local one, or an unknown one.

    Known on Linux only, where the system lists its mounts.

    >>> network_file_system(Path("/proc")) is None
    True
    """
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    place = path.absolute().parent.resolve() / path.name
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after.split():
            continue
        mount = Path(_unescaped(fields[4]))
        # The longest mount point wins; of two alike the later one lies on top.
        if place.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), after.split()[0]
    return kind if kind in NETWORK or kind in _FUSE else None


def _unescaped(text: str) -> str:
    """Return a mount point as it is: the list writes spaces and the like as octal codes."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
