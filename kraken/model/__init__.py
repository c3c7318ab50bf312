"""The nouns of Kraken, the merge, and Kraken modules loaded and validated.

Here live values and the rules that keep them true. Never: a clock, a socket, a decision about what
to do next. Everybody may import it; it imports only `kraken.errors`.
"""
