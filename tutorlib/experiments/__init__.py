"""One file per lesson: its experiments as data, and the rules that turn records into verdicts."""
