"""The package's version, where modules can read it without importing the package's surface."""

__version__ = "0.1.0"
