"""Networks: one file a family. A new network is one new file here, or `NETWORKS.add(...)` in a user's own."""

from membench.models._base import NETWORKS, Network, Recipe
from membench.models._cards import Card, Source, digest
from membench.models._factory import refuse_pretrained
from membench.models._folds import CrossValidation, Fold, FoldCard, Spread, cross_validate, part_images
from membench.models._imported import import_weights
from membench.models._obtain import obtain, obtain_for
from membench.models._train import check_fit
from membench.models._weights import (
    Trained,
    find_trained,
    other_function,
    read,
    ship_weights,
    shipped,
    shipped_file,
    write_weights,
)

__all__ = [
    "NETWORKS",
    "Card",
    "CrossValidation",
    "Fold",
    "FoldCard",
    "Network",
    "Recipe",
    "Source",
    "Spread",
    "Trained",
    "check_fit",
    "cross_validate",
    "digest",
    "find_trained",
    "import_weights",
    "obtain",
    "obtain_for",
    "other_function",
    "part_images",
    "read",
    "refuse_pretrained",
    "ship_weights",
    "shipped",
    "shipped_file",
    "write_weights",
]
