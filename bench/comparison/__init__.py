"""The parts of `bench/compare`: what is run (contests, jobs, rows), running it (runner), and what is made of it
(sections, summary, svg, readme). Standard library only; each twin has a pinned venv of its own."""
