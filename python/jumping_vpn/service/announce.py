"""Where running services are found without being told where: links to their control sockets."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

RUN: Final = Path("/run/jumping-vpn")


@contextmanager
def announced(role: str, name: str, control: Path, *, run: Path = RUN) -> Iterator[None]:
    """Link the control socket from the run directory for as long as the context lasts.

    Without the right to do so there is no link: the service is then found by its own directory.
    """
    target = control.absolute()
    digest = hashlib.sha256(os.fsencode(target)).hexdigest()[:8]
    link = run / f"{role}-{name}-{digest}.sock"
    with contextlib.suppress(OSError):
        run.mkdir(mode=0o755, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            link.unlink(missing_ok=True)


def found(role: str, *, run: Path = RUN) -> tuple[Path, ...]:
    """Return the control sockets of the services of this role that are running, as announced."""
    links = sorted(run.glob(f"{role}-*.sock"))
    return tuple(link.readlink() for link in links if link.is_symlink() and link.is_socket())
