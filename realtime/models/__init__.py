"""Third-party model libraries, one per file, behind functions that take and return numpy arrays.

Also here: the choice of an engine and the cache of converted networks. detect/ and pose/ import this package, never the
other way round.
"""
