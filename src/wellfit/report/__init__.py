"""Figures and the page: reads records only, so it cannot change a verdict."""
