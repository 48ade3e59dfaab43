"""What shoppers did, and what follows from it.

Events come in (`ubi`), are put down (`ledger`), and folded (`folding`) into evidence for attributes and values, by what
was shown when they happened (`shown`, `choices`). Requests read it back
as lifts (`dynamics`) and as profiles (`people`).
"""
