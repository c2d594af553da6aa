"""Networks: one file a family. A new network is one new file here, or `NETWORKS.add(...)` in a user's own."""

from membench.models._base import NETWORKS, Network, Recipe
from membench.models._weights import Card, Trained, digest, obtain, ship_weights, shipped

__all__ = ["NETWORKS", "Card", "Network", "Recipe", "Trained", "digest", "obtain", "ship_weights", "shipped"]
