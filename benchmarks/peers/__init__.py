"""What `benchmarks/engine.py` times: the peers, the ceiling, and wellfit itself, each as a trainer of the same work.

A trainer is made from ``(work, members, seed, **options)`` and has ``run(steps)``, which trains every member for about
so many steps and returns the member-steps made.
"""
