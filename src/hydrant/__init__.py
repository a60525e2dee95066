"""Hydrant."""
