"""`autoal` and `python -m autoal`. Nothing is imported before an interrupt is provided for."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Runs the command line and gives its exit code."""
    try:
        from autoal.cli import main as run

        return run()
    except KeyboardInterrupt:  # while the above was imported
        sys.stderr.write("interrupted before anything was begun\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
