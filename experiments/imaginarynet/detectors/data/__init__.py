"""Pictures and what may be known of them: records, readers, samplers, batches."""
