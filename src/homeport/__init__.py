"""Homeport: an application platform on AWS that also runs, whole, on one machine."""

__version__ = "0.1.0"
