"""What the systems share: config, stage contract, launcher, data sets, metrics, report. No framework."""
