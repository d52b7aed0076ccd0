"""DataFrames that are too large for one pickle, saved in parts in one folder.

`LargeDataFrameProcessor.save` and `load` serve as the save and load function of an `Archive`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kart_runtime.errors import ConfigError, ObjectMissing
from kart_runtime.storage.codecs.libraries import pandas_for


class LargeDataFrameProcessor:
    """Saves a pandas DataFrame in parts of a limited size: ``data_0.pkl``, ``data_1.pkl``, ...

    Parameters
    ----------
    max_byte
        Maximum size of a part, in bytes of memory; a part has at least one row.

    Raises
    ------
    ConfigError
        If `max_byte` is not positive.
    """

    def __init__(self, max_byte: int) -> None:
        self.max_byte = int(max_byte)
        if self.max_byte <= 0:
            raise ConfigError(f"max_byte is {max_byte}", expected="a number of bytes above 0")

    def save(self, df: Any, file_path: str) -> None:
        """Write the parts into the folder of a path, and replace the parts that are there.

        Parameters
        ----------
        df
            A pandas DataFrame.
        file_path
            Path of a file in the folder; it is not written itself.
        """
        folder = Path(file_path).parent
        folder.mkdir(parents=True, exist_ok=True)
        for old in _parts(folder):
            old.unlink()
        size = int(df.memory_usage(index=True, deep=True).sum())
        count = max(1, min(len(df), size // self.max_byte + 1))
        for part in range(count):
            rows = slice(len(df) * part // count, len(df) * (part + 1) // count)
            df.iloc[rows].to_pickle(folder / f"data_{part}.pkl")

    @staticmethod
    def load(file_path: str) -> Any:
        """Read the frame whose parts are in the folder of a path.

        Parameters
        ----------
        file_path
            Path as passed to `save`.

        Returns
        -------
        pandas.DataFrame
            The frame, with its rows in their order.

        Raises
        ------
        ObjectMissing
            If there are no parts.
        """
        parts = _parts(Path(file_path).parent)
        if not parts:
            raise ObjectMissing(str(Path(file_path).parent / "data_0.pkl"))
        pd = pandas_for("pkl")
        frames = [pd.read_pickle(path) for path in parts]
        return frames[0] if len(frames) == 1 else pd.concat(frames)


def _parts(folder: Path) -> list[Path]:
    numbered = {path.stem.removeprefix("data_"): path for path in folder.glob("data_*.pkl")}
    return [numbered[number] for number in sorted(filter(str.isdecimal, numbered), key=int)]
