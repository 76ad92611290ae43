"""What runs allow to say: values in, verdicts out. Nothing here knows of runs, files or studies."""
