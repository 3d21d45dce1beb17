"""How fast relogit is, measured against what it could be and what was there before."""
