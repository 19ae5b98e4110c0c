"""Weft: an OpenFlow controller that weaves switches into overlay networks."""

__version__ = "0.1.0"
