"""
Folders for a contest: an artifact, and one script that decodes and scores it by itself.

::

    scorer     what the script does; cut out of this package by the linker
    literal    a config as Python's source
    folding    branches left out that a config never takes
    script     the script of one artifact, small
    record     submission.json
    folder     what is in a folder, and what of it counts
    readme     its README
    running    the script, run by itself
    surroundings  a fresh virtual environment
"""
