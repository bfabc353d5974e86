"""`make report`: one self-contained page about every run below RUNS_DIR, with all its numbers as data.

Published beside measured over the seeds, figures, stages, environments, deviations, warnings; sections of the
comparison and of the audits where they ran. It reads what the reports of the runs left: no framework loads.
"""
