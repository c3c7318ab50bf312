"""Trials of Kraken modules: is what a mutation declares what discoveries then see?

    cases       which mutations are tried, with what Cfg, from which state        (pure)
    stages      where: nodes that are pretended, or virtual ones that are real
    trial       one case after the other, and what came of each
    __main__    as a program, `python -m kraken.testing.trial`: `kraken module test` starts it

Never here: how it is shown; what a file of cases may say beside `docs/modules.md`. Tests and the program
import it.
"""
