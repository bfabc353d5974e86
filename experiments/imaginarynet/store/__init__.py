"""Where candidates are kept: their seeds, one row each, and their pictures in tar files of fixed bytes.

`prompts` leaves queued rows; `images` turns each into a done or a failed one and puts its picture into
`<shard>/images.tar`; `scores` adds the classes' probabilities; `filter` accepts or rejects. A picture stays
where it was made: rows name it as "<stage>/<shard>:<member>".
"""
