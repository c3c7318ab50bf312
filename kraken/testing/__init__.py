"""What stands in for the outside world when Kraken is tried: virtual machines, virtual clocks, whole trees.

Lives here: the virtual cluster (real BMC simulators, real sshd) that tests, benchmarks and the demo run on.
Never lives here: anything a Kraken in service needs, or decisions that belong to the engine.
Who may import it: tests, examples, the demo. No room of Kraken itself.
"""
