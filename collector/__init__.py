"""How facts come in and what is kept: requests, files, decoding, novelty, the checkpoint.

What a fact means for a release is never asked here: that is the analyzers' business. Nothing from
dashboards or pipeline comes in.
"""
