"""Networks: one file a family. A new network is one new file here, or `NETWORKS.add(...)` in a user's own."""

from membench.models._base import NETWORKS, Network, Recipe
from membench.models._folds import CrossValidation, Fold, FoldCard, Spread, cross_validate, part_images
from membench.models._train import check_fit
from membench.models._weights import Card, Trained, digest, find_trained, obtain, ship_weights, shipped, write_weights

__all__ = [
    "NETWORKS",
    "Card",
    "CrossValidation",
    "Fold",
    "FoldCard",
    "Network",
    "Recipe",
    "Spread",
    "Trained",
    "check_fit",
    "cross_validate",
    "digest",
    "find_trained",
    "obtain",
    "part_images",
    "ship_weights",
    "shipped",
    "write_weights",
]
