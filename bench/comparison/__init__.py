"""Modules of `bench/compare`.

Definitions: cases, jobs, rows. Measurement: plan, sections, runner, store, tools.
Output: tables, cost, summary, svg. Standard library only; each baseline has its own pinned venv.
"""
