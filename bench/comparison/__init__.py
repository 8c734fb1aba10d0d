"""The parts of `bench/compare`: what is run (cases, jobs, rows), running it (runner), and what is made of it
(sections, summary, svg, readme). Standard library only; each baseline has a pinned venv of its own."""
