"""What asv tracks from commit to commit. See docs/asv.md."""
