"""Kraken: a distributed state engine for the machines of an HPC cluster, on Ansible."""

__version__ = "0.1.0"
