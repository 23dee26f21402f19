"""From records to verdicts: the rules in one file, and one file a lesson that applies them to its claims."""
