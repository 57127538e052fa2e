"""Users of a deployment, as many and as impatient as real ones, and the books that are kept of what they were told.

Nothing here knows what it is that answers, a cluster or a process on this computer: it gets doors, and walks through
them. Nothing asks twice: whatever is refused, broken off, late or wrong stands in the ledger as a failure.
"""
