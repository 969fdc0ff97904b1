"""What a server means by refusing: its words and codes read as a verdict, and what follows from each."""
