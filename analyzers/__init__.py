"""Pure thought: facts, cells, timeline, arms, evidence, verdicts.

No clock, no input or output, no randomness comes in here. Everything is a function of its
arguments, so that replay, re-judgement and tests call the very code that runs live.
"""
