"""Third-party model code, one library a file, behind functions that take and return numpy.

Used by detect/ and pose/; imports none of them.
"""
