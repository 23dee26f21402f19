"""Measure what batch size does to deep-learning training.

The folders are floors: a module imports from its own floor or from below, never from above.

====== ============================================ ==============================================
floor  room                                         holds
====== ============================================ ==============================================
0      errors, jsonlines, records, results, theory  the one schema; closed forms and statistics
1      experiments, verdicts, store, nn             experiments as data; rules; disk; models
2      measure                                      instruments: one measured quantity a file
3      trials, study, callbacks                     settings to an instrument; run to the end; other loops
4      plots                                        results to axes
5      widgets, checks, __main__                    panels, exercises, the command line
====== ============================================ ==============================================

Nothing is imported here: the import line of a lesson is the signpost to the source.
"""

__version__ = "0.1.0"
