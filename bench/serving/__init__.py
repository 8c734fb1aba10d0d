"""Modules of `bench/serve`: cases, server, load, batch, attack, report, cli.

Standard library only; the servers of Python have pinned venvs.
"""
