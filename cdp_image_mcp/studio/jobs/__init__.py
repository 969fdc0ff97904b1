"""One generation at work: its clock, its record and pictures on their way to disk, how it is run and stopped."""
