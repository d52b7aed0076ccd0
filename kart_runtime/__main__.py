"""``python -m kart_runtime`` is ``kart``."""

from kart_runtime.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
