"""Where the rooms are put together: commands, configuration, clock, engine, demo.

The only room that knows all the others; none of them knows it.
"""
