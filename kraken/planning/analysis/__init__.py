"""What is wrong with a set of Kraken modules before any node suffers from it: `kraken module check`.

Pure, as all of planning: a Catalog in, a Report out. It never looks at a node, and it decides
nothing; where a finding stands in a file is for who asks to find out (`Place`).

Read in this order: `findings` (the answers), `analyse` (the door), `classes` and `kinds` (of nodes),
`slices` (a variable with all it depends on), `space` (every state of a slice: exact), `relaxed` (what
is surely out of reach: conservative), and the questions: `reaching` (dead, unreached, traps), `policy`
and `loops` (what the engine would follow), `ties` (equal-cost paths), `declared` (what needs no
state), `telling` (in sentences).
"""
