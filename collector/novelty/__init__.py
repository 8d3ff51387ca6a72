"""What has counted before: every event once, exactly, within a horizon."""
