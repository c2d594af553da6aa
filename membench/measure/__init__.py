"""Measuring: predictions and time of each batch, and peak memory."""
