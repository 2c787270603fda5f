"""The version, apart so that the build can read it without importing skcovid."""

__version__ = "0.1.0.dev0"
