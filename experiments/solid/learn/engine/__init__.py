"""What pre-training and fine-tuning share: a loop that resumes to the step, ranks, schedules, precision."""
