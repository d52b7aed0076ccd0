"""Entry point of `python -m kart_runtime`, which is the command `kart`."""

from kart_runtime.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
