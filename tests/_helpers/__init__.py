"""Helpers of the tests: tiny networks, images and files, and scripts run by hand."""
