"""What the data sets that come with membench share: the words for data that are absent or damaged."""

from __future__ import annotations

from pathlib import Path

from membench.datasets._base import Dataset


class BuiltIn(Dataset):
    """A data set whose files others made: damaged ones are gotten again, not mended.

    Attributes:
        layouts: in which its files may lie below MEMBENCH_DATA; empty where they lie elsewhere.
    """

    layouts: str = "in torchvision's layout or as Hugging Face's parquet files"

    @property
    def remedy(self) -> str:
        return f"membench data get {self.name}"

    def mend(self, advice: str) -> str:
        return f"Get it again: {self.remedy}"

    def absent(self, root: Path) -> str:
        elsewhere = f" - or set MEMBENCH_DATA to a folder that has it, {self.layouts}" if self.layouts else ""
        return f"{self.name} was not found below {root}. Get it with: {self.remedy}{elsewhere}."
