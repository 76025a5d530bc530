"""A sweep: many runs from one line, kept in one folder, each point known by its configuration."""
