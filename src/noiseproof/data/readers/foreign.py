"""Forms of other programs that are not read, each with what to type to get one that is."""

from __future__ import annotations

from pathlib import Path

__all__ = ["remedy"]

_PICKLED = "a pickle can run code and is not opened; if you trust it, type in Python: "
_ARRAYS = "numpy.savez('NEW.npz', x=INPUTS, y=LABELS)"
_SHEET = "save it as .xlsx or as CSV"
_READERS = {
    ".dta": "read_stata", ".sav": "read_spss", ".sas7bdat": "read_sas", ".xpt": "read_sas", ".orc": "read_orc",
}  # fmt: skip
_REMEDIES = {
    ".mat": f"type in Python: m = scipy.io.loadmat('NAME'); {_ARRAYS}, with m['X'] and m['y'].ravel() or their like",
    ".npy": f"one array has no labels beside it; type in Python: {_ARRAYS}, with numpy.load('NAME')",
    ".h5": f"type in Python: f = h5py.File('NAME'); {_ARRAYS}, with f['x'][:] and f['y'][:] or their like",
    ".pkl": f"{_PICKLED}pandas.read_pickle('NAME').to_parquet('NEW.parquet')",
    ".pt": f"{_PICKLED}d = torch.load('NAME'); {_ARRAYS}, with its tensors",
    ".rds": "type in R: write.csv(readRDS('NAME'), 'NEW.csv', row.names = FALSE)",
    ".db": "type in Python: pandas.read_sql('SELECT * FROM TABLE', sqlite3.connect('NAME')).to_parquet('NEW.parquet')",
    ".xls": _SHEET,
    ".ods": _SHEET,
    ".numbers": _SHEET,
    ".tfrecord": "write the pictures into class folders, or their features and labels into a CSV or .npz",
    ".rar": "unpack it and give the folder",
    ".7z": "unpack it and give the folder",
    **{ending: f"type in Python: pandas.{name}('NAME').to_parquet('NEW.parquet')" for ending, name in _READERS.items()},
}
_SAME = {
    ".hdf5": ".h5", ".hdf": ".h5", ".pickle": ".pkl", ".joblib": ".pkl", ".pth": ".pt", ".rdata": ".rds",
    ".rda": ".rds", ".sqlite": ".db", ".sqlite3": ".db", ".tfrecords": ".tfrecord",
}  # fmt: skip


def remedy(path: Path) -> str:
    """Command or step that makes a file readable; empty where nothing is known about its ending.

    Example:
        >>> remedy(Path("old.xls")), remedy(Path("a.csv"))
        ('save it as .xlsx or as CSV', '')
    """
    ending = path.suffix.lower()
    if not ending and path.is_file():
        return "give it the ending of its form, such as .csv, .tsv, .txt or .jsonl"
    return _REMEDIES.get(_SAME.get(ending, ending), "").replace("NAME", path.name).replace("NEW", path.stem)
